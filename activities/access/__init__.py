"""Who may call the HTTP API: keys of products, and the users that they act for.

`keys` has the secret's form and hash, `repository` the rows. Nothing here knows of HTTP.
"""
