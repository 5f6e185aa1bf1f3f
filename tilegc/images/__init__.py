"""Images as they come: ingest, PSFs, stars and the audit of what was given."""
