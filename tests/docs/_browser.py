"""A headless Chromium, spoken to through its own pipe (`--remote-debugging-pipe`): no package, no port, no network."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
PATIENCE = 60.0  # seconds to wait for an answer
KEYS = {"Enter": (13, "\r"), " ": (32, " "), "Tab": (9, "")}


def chromium() -> str | None:
    """Path of the browser, where there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab: open a page, run scripts in it, press keys, look at it."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer = write, read, b""
        self._count = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come before it are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._count:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], PATIENCE)
            received = os.read(self._read, 65_536) if ready else b""
            if not received:
                raise EOFError("the browser has ended or does not answer")
            self._buffer += received
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, path: Path, *, scripts: bool = True) -> None:
        """Load a file and wait for it."""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def run(self, code: str) -> Any:
        """Value of an expression."""
        answer = self.call("Runtime.evaluate", expression=code, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, as a user does."""
        code, text = KEYS[key]
        key_of = {"key": key, "code": {" ": "Space"}.get(key, key), "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **key_of, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **key_of)

    def look(self, path: Path, *, width: int, height: int, theme: str = "light") -> None:
        """Write a picture of the page at a size and in a theme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.run(f"document.documentElement.dataset.theme = '{theme}'")
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    @property
    def asked(self) -> list[str]:
        """Addresses that the page asked for since it was opened."""
        return [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]


@contextlib.contextmanager
def page(profile: Path) -> Iterator[Page]:
    """Start the browser with an empty profile; it ends with the block."""
    browser = chromium()
    assert browser is not None
    flags = [*FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    (their_in, ask), (answers, their_out) = os.pipe(), os.pipe()
    running = subprocess.Popen(  # noqa: S603  (a browser on our own page)
        ["/bin/bash", "-c", f'exec "$@" 3<&{their_in} 4>&{their_out}', "bash", browser, *flags],
        pass_fds=(their_in, their_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(their_in)
    os.close(their_out)
    try:
        yield Page(ask, answers)
    finally:
        os.close(ask)
        os.close(answers)
        running.terminate()
        running.wait()
