"""Edit images: `edit_picture` in one call, or `plan_picture` to check a request before it is run.

| module | concept |
| --- | --- |
| `request` | what a user may ask: each task and its arguments, declared once |
| `images` | reading images, scaling them, putting results back |
| `tiling` | the tiles in which a large image is edited |
| `tasks` | from a task and an image to tensors and an operator |
| `edit_plan` | a request that has been checked, and running it |
| `edit_result` | the result, as grids and files |

Names are imported when they are used: the command line reads the arguments of tasks without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmcm.renamed import moved_name

if TYPE_CHECKING:
    from mmcm.apis.editing.edit_plan import Plan, edit, edit_picture, plan, plan_picture, plan_request
    from mmcm.apis.editing.edit_result import EditResult
    from mmcm.apis.editing.images import open_image
    from mmcm.apis.editing.request import REGIONS, TASKS, EditRequest

__all__ = [
    'REGIONS',
    'TASKS',
    'EditRequest',
    'EditResult',
    'Plan',
    'edit',
    'edit_picture',
    'open_image',
    'plan',
    'plan_picture',
    'plan_request',
]
MODULES = {
    **dict.fromkeys(
        ['Plan', 'edit', 'edit_picture', 'plan', 'plan_picture', 'plan_request'], 'mmcm.apis.editing.edit_plan'
    ),
    'EditResult': 'mmcm.apis.editing.edit_result',
    'open_image': 'mmcm.apis.editing.images',
    **dict.fromkeys(['EditRequest', 'REGIONS', 'TASKS'], 'mmcm.apis.editing.request'),
}


def __getattr__(name: str) -> Any:
    return getattr(import_module(MODULES[name]), name) if name in MODULES else moved_name(__name__, name)
