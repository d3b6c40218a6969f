"""Makes the database itself refuse to change or delete an audit entry."""

from django.db import migrations

_POSTGRESQL_ON = """
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
"""
_POSTGRESQL_OFF = """
DROP TRIGGER IF EXISTS audit_entry_append_only ON audit_auditentry;
DROP FUNCTION IF EXISTS audit_refuse_change();
"""
_SQLITE_ON = (
    """
CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_auditentry
BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
""",
    """
CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_auditentry
BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
""",
)
_SQLITE_OFF = (
    "DROP TRIGGER IF EXISTS audit_entry_no_update",
    "DROP TRIGGER IF EXISTS audit_entry_no_delete",
)


def refuse_changes(apps, schema_editor):
    """Create the triggers."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in (_POSTGRESQL_ON,) if is_postgresql else _SQLITE_ON:
        schema_editor.execute(statement)


def allow_changes(apps, schema_editor):
    """Drop the triggers."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in (_POSTGRESQL_OFF,) if is_postgresql else _SQLITE_OFF:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    """Append-only by trigger on both databases."""

    dependencies = [("audit", "0001_initial")]

    operations = [migrations.RunPython(refuse_changes, allow_changes)]
