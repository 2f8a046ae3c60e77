"""`python -m config.schema` writes docs/lamppost.schema.json of this checkout."""

from pathlib import Path

from config.editor import text

TARGET = Path(__file__).parent.parent / "docs" / "lamppost.schema.json"

if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
