# SPDX-License-Identifier: Apache-2.0
"""A public data set: where it is, under which licence, and how its publisher's files become our table."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from ...errors import InputError
from ..downloads import RemoteFile, read_url

Row = dict[str, str]
"""A line of ``labels.csv``; paths are relative to the data folder."""


@dataclass(frozen=True)
class GitHubFiles:
    """Files of a GitHub repository, whose list, with git's checksums, is asked of GitHub.

    Attributes:
        repository: ``owner/name``.
        commit: the state to take; ``HEAD`` for the newest.
        paths: what to take: files, or folders that end in ``/``.
    """

    repository: str
    commit: str
    paths: tuple[str, ...]
    api: str = "https://api.github.com"
    raw: str = "https://raw.githubusercontent.com"

    def files(self) -> list[RemoteFile]:
        """The files at one commit.

        Raises:
            InputError: GitHub gives no list, or has nothing below one of the paths.
        """
        commit = self.commit
        if commit == "HEAD":
            commit = self._ask(f"commits/{commit}")["sha"]
        tree = self._ask(f"git/trees/{commit}?recursive=1")
        if tree.get("truncated"):
            raise InputError(f"{self.repository}: GitHub lists only a part of its files: clone it, and use the clone")
        found = []
        for wanted in self.paths:
            blobs = [
                entry
                for entry in tree["tree"]
                if entry["type"] == "blob"
                and (entry["path"] == wanted or (wanted.endswith("/") and entry["path"].startswith(wanted)))
            ]
            if not blobs:
                raise InputError(f"{self.repository} at {commit}: no {wanted}: its files are ordered anew")
            found += [
                RemoteFile(
                    url=f"{self.raw}/{self.repository}/{commit}/{quote(blob['path'])}",
                    name=blob["path"],
                    size=blob["size"],
                    checksum=f"git:{blob['sha']}",
                )
                for blob in blobs
                if ".." not in PurePosixPath(blob["path"]).parts
            ]
        return found

    def _ask(self, what: str) -> dict:
        url = f"{self.api}/repos/{self.repository}/{what}"
        try:
            return json.loads(read_url(url))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{url}: the answer is no JSON ({error}): try again later") from error


@dataclass(frozen=True)
class PublicSet:
    """A data set that its publisher gives to everyone, or to everyone who asks.

    Attributes:
        name: what it is called here.
        title: what its publisher calls it, and what is in it.
        licence: short name of the licence, or what is known.
        licence_url: where the licence can be read.
        terms: what the licence asks for, in sentences.
        patients: what is known of the patients, in sentences.
        citation: what to cite.
        page: where the publisher shows it, and where it is fetched by hand.
        by_hand: what to fetch there.
        items: how many rows the whole set gives.
        rows: the rows of ``labels.csv`` of a folder in the publisher's layout; what is left out goes to the log.
        files: what to fetch.
        unverified: what of the addresses and checksums could not be checked when this was written; empty if nothing.
        datalist: options of ``make_datalist.py`` for it.
    """

    name: str
    title: str
    licence: str
    licence_url: str
    terms: tuple[str, ...]
    patients: str
    citation: str
    page: str
    by_hand: str
    items: int
    rows: Callable[[Path], list[Row]] = field(repr=False)
    files: Sequence[RemoteFile] | GitHubFiles
    unverified: str = ""
    datalist: str = ""

    def remote_files(self) -> list[RemoteFile]:
        """What to fetch, asked of the publisher where it is not known."""
        return self.files.files() if isinstance(self.files, GitHubFiles) else list(self.files)

    def licence_text(self) -> str:
        """What is shown before anything is fetched, and kept beside the data."""
        parts = [
            self.title,
            f"Licence: {self.licence}\n{self.licence_url}",
            " ".join(self.terms),
            f"Patients: {self.patients}",
            f"Cite: {self.citation}",
            f"From: {self.page}",
        ]
        lines = [textwrap.fill(line, 100, break_long_words=False) for part in parts for line in [*part.split("\n"), ""]]
        return "\n".join(lines)
