"""OAuth for clients that cannot send an API key, such as claude.ai and ChatGPT.

The client registers itself and sends its user to a page of this server, where the user enters an
API key. The client then gets tokens with the rights of that key, but never the key itself; they end
with the key.
"""
