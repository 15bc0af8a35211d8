"""HTTP/1.1 for the Network API: uvicorn reads requests and writes answers; here is what bounds them.

uvicorn (with h11, which refuses whatever is framed wrongly) knows no time for a request as a whole, none for a first
request to begin, none for an answer to be taken, no certificates that are replaced while it runs, and closes a
connection without reading what was sent. So it is given each connection by :mod:`.http_server`, which counts them and
does TLS, with timers of :mod:`.bounded_protocol`; :mod:`.wsgi_adapter` reads a body whole before a thread is used.
"""
