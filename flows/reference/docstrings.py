"""The separation of a docstring into its text and the meanings of its arguments."""

import re

_OF_ARGUMENTS = re.compile(r"(\w+(?:, \w+)*): (.*)")


def split_arguments(docstring: str, names: set[str]) -> tuple[str, dict[str, str]]:
    """The text without its lines on arguments, and argument -> what they say of it.

    Such lines begin with `name:` or `name, other:`, and go on in lines that are indented.
    """
    text, meanings = list[str](), dict[str, str]()
    current: list[str] = []
    for line in docstring.splitlines():
        found = _OF_ARGUMENTS.fullmatch(line)
        if found and (of := found[1].split(", ")) and names.issuperset(of):
            current = of
            meanings |= dict.fromkeys(of, found[2])
        elif current and line.startswith("    "):
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in current}
        else:
            current = []
            text.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(text)).strip(), meanings
