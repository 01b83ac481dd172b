"""`make docs`: write the reference."""

from flows.reference import FOLDER, pages
from flows.terminal.screen import console

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        console().print(f"wrote {FOLDER / name}")
