"""What is not shown: passwords and tokens inside the URLs of databases and servers."""

import re

MASK = "***"

_WITH_SECRETS = (
    re.compile(r"(https?://)[^\s/]+(?=@)"),  # name and all: it may itself be a token
    # to the last @ before a host in the line: a malformed URL may have anything in its password
    re.compile(r"((?!https?:)\b[\w+.-]+://[^\s/:@\"']*:)((?!://)[^\n])+(?=@[\w\[])"),
    re.compile(r"([?&]\w*(?:passw|pwd|secret|token|api_?key)\w*=)[^\s&\"']+", re.IGNORECASE),
)


def hidden(text: str) -> str:
    """A text with a mask in the place of each secret of its URLs."""
    for pattern in _WITH_SECRETS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text
