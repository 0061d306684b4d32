"""Which blocks of a page are commands, and where a command ends."""

from __future__ import annotations

from markdown_blocks import Block, command_lines, read_blocks

PAGE = """\
Text.

    make run    # indented

    layout of bytes

- item

  ```sh
  cd x
  ```

```yaml
steps:
    make no
```

<!-- not run: needs a network -->
```sh
pip install .
```

```python
x = 1
```
"""


def test_fences_and_indented_programs_are_blocks_and_a_comment_says_why_one_is_not_run():
    assert list(read_blocks(PAGE)) == [
        Block("sh", "make run    # indented\n", None),
        Block("sh", "cd x\n", None),
        Block("sh", "pip install .\n", "needs a network"),
        Block("python", "x = 1\n", None),
    ]


def test_a_command_has_its_continued_lines_and_its_here_document():
    text = "a \\\n  b\n\n# comment\ncat > f <<'EOF'\nx \\\n\nEOF\nc\n"
    assert list(command_lines(text)) == ["a   b", "cat > f <<'EOF'\nx \\\n\nEOF", "c"]
