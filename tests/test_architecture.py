"""The syntax trees of the program: who imports whom, which libraries where, and that importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.settings import ROOT

# Lowest first. A module imports only from rows above its own, and inside its own package.
TIERS: tuple[tuple[str, ...], ...] = (
    (
        *("configs.profiles", "configs.endpoints", "configs.local_models"),
        *("server.types", "server.errors", "server.log_excerpt", "server.trees", "server.parts"),
    ),
    ("configs.settings", "server.language"),
    ("server.registry", "server.processes", "server.ports", "server.weights_e5", "server.identity", "server.image_file"),
    ("server.weights",),
    ("server.stopping", "server.control"),
    ("server.llm.keys",),
    ("server.readers", "server.splitting", "server.embedding", "server.stores", "server.llm"),
    ("server.papers",),
    ("server.knowledge_base", "server.citations"),
    ("server.ingestion", "server.shelf"),
    (
        *("server.retrieval", "server.quoting", "server.proving", "server.jobs"),
        *("server.checking", "server.closing_table", "server.progress_bar"),
    ),
    (
        "server.editing",
        "server.temporary",
        "server.memory",
        "server.refusal",
        "server.langchain_view",
        "server.importing",
        "server.gathering",
    ),
    ("server.answering",),
    ("server.runtime",),
    ("server.evaluation",),
    ("server.access",),
    ("server.api", "server.serving"),
    ("server.fetching", "server.launch"),
    ("server.samples", "server.banner", "server.fleet", "server.terminal_chat"),
    ("server.starting",),
    ("startup", "init_database"),
)
HOMES = {  # library -> where it may be imported
    "fastapi": ("server.api", "server.serving"),
    "starlette": ("server.api", "server.serving"),
    "uvicorn": ("server.api", "server.serving"),
    "fastchat": ("server.serving",),
    "streamlit": ("webui",),
    "faiss": ("server.stores",),
    "sqlite3": ("server.stores",),
    "pymupdf": ("server.readers.pdf", "server.readers.ocr", "server.readers.page_image", "server.image_file"),
    "rapidocr": ("server.readers.ocr",),
    "PIL": ("server.image_file",),
    "lxml": ("server.readers.office", "server.readers.web"),
    "pptx": ("server.readers",),
    "openpyxl": ("server.readers",),
    "xlrd": ("server.readers",),
    "oxmsg": ("server.readers.web",),
    "olefile": ("server.readers.web",),
    "torch": ("server.embedding", "server.retrieval.reranking", "server.launch", "server.serving"),
    "sentence_transformers": ("server.embedding", "server.retrieval.reranking"),
    "xllamacpp": ("server.serving",),
}
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "pymupdf",
    "streamlit",
    "faiss",
    "fastchat",
    "xllamacpp",
    "langchain_openai",
    "rapidocr",
)
LONGEST_FILE = 400  # lines


def sources() -> list[Path]:
    """Every Python file of the program."""
    folders = [path for name in ("server", "configs", "webui") for path in sorted((ROOT / name).rglob("*.py"))]
    return [*folders, ROOT / "startup.py", ROOT / "init_database.py"]


def module_name(path: Path) -> str:
    """server/api/v1.py -> server.api.v1; a package is named by its folder."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PROGRAM = {module_name(path): path for path in sources()}


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, inside functions too; `from package import module` gives package.module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield whole if whole in PROGRAM else module


def inside(module: str, home: str) -> bool:
    """Whether `module` is `home` or lies in it."""
    return module == home or module.startswith(f"{home}.")


def place(module: str) -> tuple[int, str] | None:
    """(tier, row) of a module."""
    return next(((tier, row) for tier, rows in enumerate(TIERS) for row in rows if inside(module, row)), None)


def top_level(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8")).body


@pytest.mark.parametrize("module", [name for name in PROGRAM if not inside(name, "webui") and name not in ("server", "configs")])
def test_imports_run_downwards_only(module: str):
    own = place(module)
    assert own is not None, f"{module} has no tier: give it one"
    for target in imports(PROGRAM[module]):
        if not any(inside(target, root) for root in ("server", "configs", "webui", "startup", "init_database")) or target == "server":
            continue
        there = place(target)
        assert there is not None, f"{module} imports {target}, which has no tier"
        assert there[0] < own[0] or there[1] == own[1], f"{module} imports {target}: upwards or sideways"


def test_no_tier_names_a_module_that_is_gone():
    for rows in TIERS:
        for row in rows:
            assert row in PROGRAM, row


def test_the_web_ui_imports_nothing_of_the_server_or_its_settings():
    for module, path in PROGRAM.items():
        if inside(module, "webui"):
            wrong = [target for target in imports(path) if inside(target, "server") or inside(target, "configs")]
            assert not wrong, f"{module} imports {wrong}"


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_only_in_its_home(library: str):
    for module, path in PROGRAM.items():
        if any(inside(target, library) for target in imports(path)):
            assert any(inside(module, home) for home in HOMES[library]), f"{module} imports {library}"


def test_every_home_still_uses_its_library():
    for library, homes in HOMES.items():
        for home in homes:
            users = [name for name, path in PROGRAM.items() if inside(name, home) and any(inside(t, library) for t in imports(path))]
            assert users or library in ("starlette", "torch"), f"nothing in {home} imports {library}: delete the row"


@pytest.mark.parametrize("module", PROGRAM)
def test_a_file_is_short_and_says_what_it_is(module: str):
    text = PROGRAM[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert not text or ast.get_docstring(ast.parse(text)), "the first line says what goes in and what comes out"


@pytest.mark.parametrize("module", [name for name in PROGRAM if name != "webui.app"])  # Streamlit runs that file; nobody imports it
def test_importing_does_nothing(module: str):
    for statement in top_level(PROGRAM[module]):
        assert not isinstance(statement, ast.For | ast.While | ast.With | ast.Try), f"line {statement.lineno}"
        if isinstance(statement, ast.If):
            test = ast.unparse(statement.test)
            assert test in ("__name__ == '__main__'", "TYPE_CHECKING"), f"line {statement.lineno}: if {test}"
        if isinstance(statement, ast.Expr):
            assert isinstance(statement.value, ast.Constant), f"line {statement.lineno}: {ast.unparse(statement)}"


def heavy_after(*modules: str) -> set[str]:
    """Which heavy libraries a fresh interpreter holds after importing the modules."""
    script = f"import sys\nfor m in {modules!r}: __import__(m)\nprint(*(set(n.partition('.')[0] for n in sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return set(ended.stdout.split())


def test_importing_the_core_and_the_api_brings_no_heavy_library():
    light = [name for name in PROGRAM if inside(name, "server") and not inside(name, "server.serving") and not name.endswith("__main__")]
    assert not heavy_after(*light) & set(HEAVY)


def test_the_gateway_needs_no_torch_no_langchain_no_fastchat_no_vectors():
    loaded = heavy_after("server.serving.gateway")
    assert "starlette" in loaded  # the measurement works
    assert not loaded & {*HEAVY, "langchain_core", "langchain", "numpy", "sqlite3"}


def test_entry_points_start_without_heavy_libraries():
    assert not heavy_after("startup", "init_database") & set(HEAVY)
