"""The addresses of the HTTP API, a module a shape; each route makes operations and answers them."""

from __future__ import annotations

from fastapi import APIRouter

from botwire_server.routes import histories, keys

router = APIRouter()
for _part in (keys.router, histories.router):
    router.include_router(_part)

__all__ = ["router"]
