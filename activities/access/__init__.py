"""Who may call the HTTP API: keys of products, and the users that they act for.

`keys` has the key and what is stored of its secret, `repository` the rows. Nothing here knows HTTP.
"""
