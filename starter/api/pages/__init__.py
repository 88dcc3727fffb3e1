"""The pages that people look at in a browser: the gallery, one video, a form for new ones, usage.

`site.add_pages` adds them to the application. Each is rendered here from templates, reads through
the same client as every route, and is made live by a few small scripts, which start and change
things through the HTTP API as any other caller does. `static` and `templates` need no build step.
"""
