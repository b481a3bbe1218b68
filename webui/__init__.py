"""The web UI: Streamlit pages that speak to the knowledge-base API over HTTP and import nothing of the server."""
