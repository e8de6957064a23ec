"""Sessions of the project: `nox -l` lists them.

One environment (`env`) serves demo, tests, types, docs, bench and the check of the wheel, because its packages weigh
3 GB; it is installed by one pip command and again only when `pyproject.toml` or the constraints change. `lint` needs
none of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"  # pip, because uv does not read pip's settings (find-links)
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
CONSTRAINTS = Path("constraints", "ci.txt")
PROJECT = nox.project.load_toml("pyproject.toml")
# A worker of pytest or a thread of joblib is one core: libraries must not multiply that.
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
WORKERS = str(min(os.cpu_count() or 1, 4))
PARALLEL = ("-n", WORKERS, "--dist", "loadgroup")


def groups(*names: str) -> tuple[str, ...]:
    """Read dependency groups (pip knows `--group` only since 25.1)."""
    return nox.project.dependency_groups(PROJECT, *names)


def shared_python() -> str:
    """Find the interpreter of the shared environment; with `--no-venv` the one that runs nox."""
    home = Path(os.environ.get("NOX_ENVDIR", ROOT / ".nox")) / "env"
    found = [path for path in (home / "bin" / "python", home / "Scripts" / "python.exe") if path.exists()]
    return str(found[0]) if found else sys.executable


def run(session: nox.Session, *args: str, env: dict[str, str] | None = None) -> None:
    """Run Python of the shared environment without a display."""
    session.run(shared_python(), *args, env={"MPLBACKEND": "Agg", **(env or {})}, external=True)


@nox.session(default=False)
def env(session: nox.Session) -> None:
    """Install the package and the groups test, types and doc for the other sessions."""
    if session.venv_backend == "none":
        return
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + (ROOT / CONSTRAINTS).read_bytes()).hexdigest()
    stamp = Path(session.virtualenv.location, "installed.sha256")
    if stamp.exists() and stamp.read_text() == wanted:
        return
    session.install("-q", "-c", str(CONSTRAINTS), "-e", ".", *groups("test", "types", "doc"))
    stamp.write_text(wanted)


@nox.session(venv_backend="none", requires=["env"])
def demo(session: nox.Session) -> None:
    """Simulated cells, and the mouse cortex where its files are found: networks, model, figures in demo_output/."""
    run(session, "tutorials/demo.py", *session.posargs)


@nox.session(venv_backend="none", requires=["env"])
def tests(session: nox.Session) -> None:
    """Run all tests and doctests; arguments after `--` replace the defaults."""
    run(session, "-m", "pytest", *(session.posargs or PARALLEL), env=ONE_THREAD)


@nox.session(venv_backend="none", requires=["env"], default=False)
def coverage(session: nox.Session) -> None:
    """Run all tests and doctests and count the lines and branches they reach, which takes half as long again."""
    run(session, "-m", "pytest", *PARALLEL, "--cov", "--cov-report=term", env=ONE_THREAD)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and layers; nothing of the package is imported, so its dependencies are not installed."""
    if session.venv_backend != "none":
        session.install("-q", "-c", str(CONSTRAINTS), *groups("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": str(ROOT / "src")})


@nox.session(venv_backend="none", requires=["env"])
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    run(session, "-m", "mypy")


@nox.session(venv_backend="none", requires=["env"])
def docs(session: nox.Session) -> None:
    """Build the documentation and execute its notebooks; a warning is an error."""
    shutil.rmtree(ROOT / "docs" / "api" / "generated", ignore_errors=True)
    strict = ("-W", "--keep-going", "-q", "-j", WORKERS)
    run(session, "-m", "sphinx", *strict, "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session(venv_backend="none", requires=["env"])
def bench(session: nox.Session) -> None:
    """Run the benchmarks, or those named after `--`, beside the packages of `rivals` where that was run before."""
    peers = Path(os.environ.get("NOX_ENVDIR", ROOT / ".nox"), "rivals", "bin", "python")
    env = {"GRS_PEERS_PYTHON": str(peers)} if peers.exists() else {}
    run(session, "-m", "pytest", "-c", "benchmarks/pytest.ini", *(session.posargs or ["benchmarks"]), env=env)


@nox.session(venv_backend="none", requires=["env"])
def ablate(session: nox.Session) -> None:
    """Train GRNFormer with one factor changed at a time; goes on where it was stopped. `-- --only grn simulated`: a part."""
    path = os.pathsep.join([str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    run(session, "-m", "ablate", *session.posargs, env={**ONE_THREAD, "PYTHONPATH": path})


@nox.session(python="3.11", default=False)
def rivals(session: nox.Session) -> None:
    """Install pySCENIC, arboreto and rustscenic, whose pins are older than ours, in an environment of their own."""
    session.install("-q", "-r", "benchmarks/rivals/requirements.txt")


@nox.session(default=False)
def lowest(session: nox.Session) -> None:
    """Read and write models with the oldest versions of the packages that keep files."""
    session.install("-q", "-c", str(Path("constraints", "lowest.txt")), "-e", ".", "pytest", "beartype")
    test = ("-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", "tests/model/test_stored_model.py")
    session.run("python", *test, env={"MPLBACKEND": "Agg", **ONE_THREAD})
    session.run("python", "-W", "ignore", "-m", "grnformer_sc.selftest", env={"MPLBACKEND": "Agg"})


@nox.session(requires=["env"])
def build(session: nox.Session) -> None:
    """Build wheel and sdist, check them, and run the self-test from the wheel instead of the source folder."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.install("-q", "build", "twine")
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    unpacked = Path(session.create_tmp(), "wheel").resolve()
    shutil.rmtree(unpacked, ignore_errors=True)
    wheel = next(Path("dist").glob("*.whl"))
    session.run("python", "-m", "pip", "install", "-q", "--no-deps", "--target", str(unpacked), str(wheel))
    run(session, "-m", "grnformer_sc.selftest", env={"PYTHONPATH": str(unpacked)})
