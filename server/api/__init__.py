"""Port 7861: the routes of Langchain-Chatchat 0.2 clients, and ours under /api/v1. Routes are thin; work is done in server/."""
