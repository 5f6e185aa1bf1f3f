"use strict";
/* Whether exact pixels can be asked for: only the server of `tilegc view` says yes, in place of this file. */
Sky.exact = false;
