"""What every app may use and what knows no app: how requests are read and how they are refused.

- `problems`: problem details (RFC 9457), built here only; `correlation`: the id they carry
- `parsing`, `bodies`: JSON that can be stored, of fields that are known
- `queries`, `filters`, `times`: query parameters that are known, and moments in UTC
- `pages`: signed keyset pages
- `nearest`: the name that was probably meant

Nothing here imports an app or the rest of the site, reads the database by itself, or holds a rule
of the trade. `nearest` and `times` are pure: rules may use them.
"""
