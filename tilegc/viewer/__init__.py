"""A run as a web page to pan and zoom: images, masks, contours and sources, in a directory of static files.

The viewer is made from a run directory and written into its subdirectory `view/`: `index.html`, and data as scripts
that call a function, the only form in which a browser accepts data from `file://`. The directory can be opened with a
double click or served by any web server, and needs no network.
"""

from tilegc.viewer.exact import exact_pixels
from tilegc.viewer.folder import write_view
from tilegc.viewer.server import serve

__all__ = ["exact_pixels", "serve", "write_view"]
