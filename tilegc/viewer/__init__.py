"""A run as a page to pan and zoom in: images, masks, contours and sources, as a folder of static files.

In comes the folder of a run, out goes `view/` in it: `index.html`, and data as scripts that call a function, since
that is the one form in which a browser takes data from `file://`. The folder opens by a double click and from any web
server, in the same way, and nothing in it needs the network.
"""

from tilegc.viewer.folder import write_view
from tilegc.viewer.server import serve

__all__ = ["serve", "write_view"]
