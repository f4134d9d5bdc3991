"""The house: imports go down only, rooms on one floor don't know each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "i2igalip_cli"
FLOORS = (
    ("errors",),
    ("config", "domains"),
    ("volumes", "networks", "hub"),
    ("checkpoints",),
    ("methods", "evaluation"),
    ("engine",),
    ("cli",),
    ("__init__", "__main__"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(parts: tuple[str, ...]) -> str:
    return parts[0] if parts else "__init__"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    room = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.ImportFrom) and node.module):
            continue
        if node.module.split(".")[0] != "i2igalip_cli":
            continue
        used = room_of(tuple(node.module.split(".")[1:]))
        if used == "__init__":
            continue  # the version
        assert used == room or FLOOR_OF[used] < FLOOR_OF[room], f"{room} imports {used}"


@pytest.mark.parametrize("module", ["volumes", "domains", "config", "errors"])
def test_lower_rooms_load_no_torch(module: str) -> None:
    code = f"import sys, i2igalip_cli.{module}; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
