"""The keys of online endpoints: keys file or environment -> HTTP clients that choose a key for each request, rest it, try again."""
