"""Copies vector stores to the files of LlamaIndex's in-memory one, and such files to stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Self

from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore.types import DEFAULT_PERSIST_FNAME as DOCUMENTS
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from llama_index.core.vector_stores.simple import DEFAULT_VECTOR_STORE, NAMESPACE_SEP
from llama_index.core.vector_stores.types import DEFAULT_PERSIST_DIR, DEFAULT_PERSIST_FNAME
from llama_index.core.vector_stores.utils import node_to_metadata_dict

from botwire import ConfigurationError
from botwire_llamaindex.files import read_file, write_file

_VECTORS = "embedding_dict"
_NODES = "nodes"  # ours: LlamaIndex's own store leaves the nodes to its document store


class SavedVectors:
    """The methods of LlamaIndex's `SimpleVectorStore` that save what it holds and load it."""

    def get_nodes(self) -> list[BaseNode]:
        """Returns all nodes."""
        raise NotImplementedError

    def add_missing(self, nodes: Sequence[BaseNode]) -> None:
        """Adds nodes whose ids do not exist yet."""
        raise NotImplementedError

    def persist(
        self, persist_path: str = f"{DEFAULT_PERSIST_DIR}/{DEFAULT_PERSIST_FNAME}", fs: Any = None
    ) -> None:
        """Writes a copy to a file, with the vectors as `SimpleVectorStore` reads them.

        The store itself is persistent and needs no such call. The file contains the nodes too.

        Args:
            persist_path: The file; readable by its owner only if it is new and local.
            fs: An fsspec file system. Defaults to the local one.

        Raises:
            NotJSONError: JSON cannot hold a node's metadata; the file was not touched.
        """
        content: dict[str, Any] = {
            _VECTORS: {},
            "text_id_to_ref_doc_id": {},
            "metadata_dict": {},
            _NODES: {},
        }
        for node in self.get_nodes():
            metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
            metadata.pop("_node_content", None)
            content[_VECTORS][node.node_id] = node.embedding
            content["text_id_to_ref_doc_id"][node.node_id] = node.ref_doc_id or "None"
            content["metadata_dict"][node.node_id] = metadata
            node.embedding = None
            content[_NODES][node.node_id] = doc_to_json(node)
        write_file(persist_path, content, fs)

    @classmethod
    def from_persist_path(
        cls, persist_path: str, namespace: str | None = None, fs: Any = None, **arguments: Any
    ) -> Self:
        """Returns a store that holds, besides its own, the nodes of a file with their vectors.

        Nothing is embedded again. For a file of `SimpleVectorStore`, which has no texts, the nodes
        are those in ``docstore.json`` of the same folder.

        Args:
            persist_path: A file that `persist` has written, also of `SimpleVectorStore`.
            namespace: The namespace.
            fs: An fsspec file system. Defaults to the local one.
            **arguments: The other arguments of the class.

        Raises:
            ConflictError: The store holds a different node under one of the ids.
            ConfigurationError: An argument is not valid, or a node is missing.
            FileNotFoundError: There is no such file.
        """
        nodes = _nodes(persist_path, fs)
        store = cls(namespace, **arguments)  # type: ignore[call-arg]
        store.add_missing(nodes)
        return store

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str = DEFAULT_PERSIST_DIR,
        namespace: str | None = None,
        fs: Any = None,
        *,
        name: str = DEFAULT_VECTOR_STORE,
        **arguments: Any,
    ) -> Self:
        """Like `from_persist_path`, with LlamaIndex's file for a store of this name in a folder."""
        path = f"{persist_dir}/{name}{NAMESPACE_SEP}{DEFAULT_PERSIST_FNAME}"
        return cls.from_persist_path(path, namespace, fs, **arguments)

    @classmethod
    def from_namespaced_persist_dir(
        cls,
        persist_dir: str = DEFAULT_PERSIST_DIR,
        namespace: str | None = None,
        fs: Any = None,
        **arguments: Any,
    ) -> dict[str, Self]:
        """Returns a store per vector store in a folder, each in a collection with its name."""
        if fs is None:
            files = [file.name for file in Path(persist_dir).iterdir()]
        else:
            files = [PurePosixPath(file).name for file in fs.ls(persist_dir, detail=False)]
        ending = f"{NAMESPACE_SEP}{DEFAULT_PERSIST_FNAME}"
        found = sorted(name.removesuffix(ending) for name in files if name.endswith(ending))
        return {
            name: cls.from_persist_dir(
                persist_dir,
                namespace,
                fs,
                name=name,
                **arguments | ({} if name == DEFAULT_VECTOR_STORE else {"collection": name}),
            )
            for name in found
        }


def _nodes(path: str, fs: Any) -> list[BaseNode]:
    """Returns the nodes of a file with their vectors."""
    content = read_file(path, fs)
    vectors = content.get(_VECTORS) if isinstance(content, dict) else None
    if not isinstance(vectors, dict):
        raise ConfigurationError(f"{path} does not hold vectors as SimpleVectorStore writes them")
    dumps = content.get(_NODES)
    if dumps is None and vectors:
        dumps = _documents(str(PurePosixPath(path).with_name(DOCUMENTS)), fs)
    nodes = []
    for id, vector in vectors.items():
        if id not in dumps:
            raise ConfigurationError(
                f"{path} has a vector for node {id!r:.80}, which {DOCUMENTS} beside it lacks: "
                "without its text, the node would be useless"
            )
        node = json_to_doc(dumps[id])
        node.embedding = vector
        nodes.append(node)
    return nodes


def _documents(path: str, fs: Any) -> dict[str, Any]:
    """Returns what LlamaIndex's document store has saved of each node."""
    content = read_file(path, fs)
    return {
        id: dump
        for collection, values in content.items()
        if collection.endswith("/data")
        for id, dump in values.items()
    }
