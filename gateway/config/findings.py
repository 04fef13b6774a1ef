"""Every mistake that is found, put where the person wrote it: in hub.toml, in a fragment beside it, or in a profile."""

from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from gateway.config.document import Document
from gateway.config.problems import ConfigError, Path, Problem, Unfit, dotted
from gateway.config.secrets import Secrets
from gateway.config.values import Report


class Findings:
    """What is wrong with one config. `whole` is false where a part of it could not be read: what seems missing may be there."""

    def __init__(self, documents: Iterable[Document], secrets: Secrets) -> None:
        self.documents = list(documents)
        self.whole = all(document.whole for document in self.documents)
        self._secrets = secrets
        self._homes: dict[Path, Document] = {}
        self._behind: dict[Path, Document] = {}
        self._problems: dict[Problem, Document] = {}

    def settle(self, path: Path, document: Document) -> None:
        """From now on, what lies below `path` is looked for in this document, unless it has another home already."""
        self._homes.setdefault(path, document)

    def says(self, path: Path) -> bool:
        """Whether any document says something at a path."""
        return path in self._homes

    def home(self, path: Path) -> Document:
        """The document that says something at a path; the first one where none does."""
        return next((self._homes[path[:size]] for size in (2, 1) if path[:size] in self._homes), self.documents[0])

    def stand_behind(self, path: Path, document: Document) -> None:
        """What lies below `path` and is not written there stands in this document (a profile), from its top."""
        self._behind[path] = document
        if document not in self.documents:
            self.documents.append(document)

    def add(
        self, at: Path, found: str, expected: str = "", suggestion: str = "", *, key: bool = False, offset: int | None = None
    ) -> None:
        """Tell a mistake at a path: of its value (of what stands at `offset` of a text), or of its key."""
        document, inside = self.home(at), at
        profile = self._behind.get(at[:2])
        if profile and len(at) > 2 and profile.has(at[2:]) and not document.has(at):
            document, inside = profile, at[2:]
        self.add_in(document, inside, found, expected, suggestion, key=key, offset=offset)

    def add_in(
        self,
        document: Document,
        at: Path,
        found: str,
        expected: str = "",
        suggestion: str = "",
        *,
        key: bool = False,
        offset: int | None = None,
    ) -> None:
        """The same, where it is known which document it is about."""
        line, column = document.place(at, key=key, offset=offset)
        problem = Problem(document.file, line, column, dotted(at), found, expected, suggestion)
        self._problems.setdefault(problem, document)

    def unfit(self, at: Path, unfit: Unfit) -> None:
        """Tell that the value at a path does not do."""
        self.add((*at, *unfit.below), unfit.found, unfit.expected, unfit.suggestion)

    def secret(self, reference: Mapping[str, Any], at: Path) -> str:
        """The text that the reference written at a path stands for. Raises Unfit."""
        return self.look_up(reference, self.home(at))

    def look_up(self, reference: Mapping[str, Any], document: Document) -> str:
        """The text of a secret that a document refers to. Raises Unfit."""
        return self._secrets.read(reference, FilePath(document.file).parent)

    def about(self, document: Document) -> Report:
        """A report whose paths begin at the top of one document."""
        return _About(self, document)

    def problems(self) -> tuple[Problem, ...]:
        """All of them, in the order of documents and lines."""
        found = {problem: document for document in self.documents for problem in document.problems} | self._problems
        order = {id(document): number for number, document in enumerate(self.documents)}
        return tuple(sorted(found, key=lambda one: (order.get(id(found[one]), len(order)), one.line, one.column)))

    def close(self) -> None:
        """Raises ConfigError when anything was found."""
        if problems := self.problems():
            raise ConfigError(problems)


class _About:
    """The part of the findings that is about one document."""

    def __init__(self, findings: Findings, document: Document) -> None:
        self._findings = findings
        self._document = document
        self.whole = document.whole

    def add(self, at: Path, found: str, expected: str = "", suggestion: str = "", *, key: bool = False) -> None:
        """See `Report.add`."""
        self._findings.add_in(self._document, at, found, expected, suggestion, key=key)

    def unfit(self, at: Path, unfit: Unfit) -> None:
        """See `Report.unfit`."""
        self.add((*at, *unfit.below), unfit.found, unfit.expected, unfit.suggestion)

    def secret(self, reference: Mapping[str, Any], at: Path) -> str:  # noqa: ARG002
        """See `Report.secret`."""
        return self._findings.look_up(reference, self._document)
