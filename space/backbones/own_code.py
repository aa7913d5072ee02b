"""Networks of a user's own code, named by `FILE.py:FACTORY` or `package.module:FACTORY`."""

from space.backbones.backbone import Make
from space.backbones.factories import called
from space.backbones.registry import found
from space.user_code import find_object


@found("package.module:FACTORY", names=r"[^:]*(?<!\.py):[^:]*")
@found("FILE.py:FACTORY", names=r"(?s:.*)\.py:[^:]*")
def own_network(name: str) -> Make:
    """Maker by a user's class or function.

    Raises:
        UserError: there is none.
    """
    return called(name, find_object(name))
