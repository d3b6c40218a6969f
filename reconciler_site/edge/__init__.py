"""The asynchronous front of a web process: no slow caller holds a thread.

The server's event loop waits for callers, a few threads do the work. A request goes through
`bodies` (read it whole, within a cap, a deadline and a share of memory), then waits for a thread,
then runs the WSGI application in it (`wsgi`), and only then is its answer written, at whatever
pace the caller reads. What is refused here is answered by `refusals`. It uses no database.
"""
