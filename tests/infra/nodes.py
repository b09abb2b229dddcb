"""Nodes for tests of the local provider: small, with the fake Java's behaviours as main classes."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from kdeploy.blueprint import Blueprint, ClusterBlueprint, Node, RenderedFile, SecretFile

SECRETS = {
    "secrets/identity.pem": b"-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----\n"
}


def node(name: str = "broker-1", main_class: str = "Serve", **changes: Any) -> Node:
    """A node named `ROLE-ID`."""
    role, _, number = name.rpartition("-")
    made = Node(
        datacenter="here",
        name=name,
        role=role,  # type: ignore[arg-type]
        id=int(number),
        rack="r1",
        host="localhost",
        bind="127.0.0.1",
        ports={},
        cores=1,
        memory=64e6,
        data_directories=("data/0",),
        format_arguments=(),
        java_options=("-Xmx64m",),
        main_class=main_class,
        arguments=("config/server.properties",),
        files=(
            RenderedFile("config/server.properties", f"broker.id={number}\n"),
            RenderedFile("config/hint.txt", "soft\n", restart=False),
        ),
        secrets=(SecretFile("secrets/identity.pem", "identity"),),
    )
    return replace(made, **changes)


def blueprint(*nodes: Node) -> Blueprint:
    """An environment of one local cluster."""
    return Blueprint("env", (ClusterBlueprint("here", "local", "zookeeper", "3.9.2", None, nodes),))


def with_text(given: Node, text: str) -> Node:
    """The node with another main configuration."""
    return replace(given, files=(replace(given.files[0], text=text), *given.files[1:]))


def listening(port: int = 0) -> socket.socket:
    """A socket that listens on a port of this machine, a free one where none is named."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(("127.0.0.1", port))
    opened.listen()
    return opened
