"""The channel: many concurrent requests over one WebSocket connection, instead of over HTTP."""
