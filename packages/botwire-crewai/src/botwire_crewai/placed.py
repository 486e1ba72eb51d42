"""The base of models that live on BotWire: they have a place, and a dump that finds it again."""

from __future__ import annotations

from pydantic import BaseModel, PrivateAttr, field_serializer

from botwire.connection import Connection
from botwire_crewai.tenancy import Tenancy


class Placed(BaseModel):
    """The place of a model, dumped without any secret.

    A subclass's constructor passes `Tenancy.reference` as fields and then sets ``_tenancy``.

    Attributes:
        namespace: The namespace of the data. A dump holds the one current at that moment.
        url: Where memory lives, unless the environment says so.
    """

    namespace: str = "default"
    url: str | None = None
    _tenancy: Tenancy = PrivateAttr()

    @property
    def _connection(self) -> Connection:
        return self._tenancy.connection

    @field_serializer("namespace")
    def _dump_namespace(self, _: str) -> str:
        return self._connection.namespace
