"""Refuses TRUNCATE and moving a chain's head back; lifts length limits of names from outside."""

from django.db import migrations, models

# Altering a column rebuilds the table on SQLite and drops its triggers: all are made again here.
# Whoever alters these tables later must do the same; `audit_verify` reports missing triggers.
_POSTGRESQL_ON = """
CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are append-only' USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER IF EXISTS audit_entry_append_only ON audit_auditentry;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE FUNCTION audit_head_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.tenant = OLD.tenant
            AND (NEW.seq > OLD.seq OR (NEW.seq = OLD.seq AND NEW.hash = OLD.hash))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'chain heads only move forward' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_head_only_forward BEFORE UPDATE OR DELETE ON audit_chainhead
    FOR EACH ROW EXECUTE FUNCTION audit_head_refuse();
CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON audit_chainhead
    FOR EACH STATEMENT EXECUTE FUNCTION audit_head_refuse();
"""
_POSTGRESQL_OFF = """
DROP TRIGGER IF EXISTS audit_entry_no_truncate ON audit_auditentry;
DROP TRIGGER IF EXISTS audit_head_only_forward ON audit_chainhead;
DROP TRIGGER IF EXISTS audit_head_no_truncate ON audit_chainhead;
DROP FUNCTION IF EXISTS audit_head_refuse();
"""
_SQLITE_ON = (
    "DROP TRIGGER IF EXISTS audit_entry_no_update",
    "DROP TRIGGER IF EXISTS audit_entry_no_delete",
    """
CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_auditentry
BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
""",
    """
CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_auditentry
BEGIN SELECT RAISE(ABORT, 'audit entries are append-only'); END
""",
    """
CREATE TRIGGER audit_head_only_forward BEFORE UPDATE ON audit_chainhead
WHEN NEW.tenant <> OLD.tenant OR NEW.seq < OLD.seq
    OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash)
BEGIN SELECT RAISE(ABORT, 'chain heads only move forward'); END
""",
    """
CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_chainhead
BEGIN SELECT RAISE(ABORT, 'chain heads only move forward'); END
""",
)
_SQLITE_OFF = (
    "DROP TRIGGER IF EXISTS audit_head_only_forward",
    "DROP TRIGGER IF EXISTS audit_head_no_delete",
)


def refuse_changes(apps, schema_editor):
    """Create the triggers, old and new."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in (_POSTGRESQL_ON,) if is_postgresql else _SQLITE_ON:
        schema_editor.execute(statement)


def drop_new_triggers(apps, schema_editor):
    """Drop what this migration added; those of the entries stay until 0002 is undone."""
    is_postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in (_POSTGRESQL_OFF,) if is_postgresql else _SQLITE_OFF:
        schema_editor.execute(statement)


def restore_entry_triggers(apps, schema_editor):
    """Make the triggers of 0002 again on SQLite, where undoing this rebuilt the table."""
    if schema_editor.connection.vendor == "sqlite":
        for statement in _SQLITE_ON[:4]:
            schema_editor.execute(statement)


class Migration(migrations.Migration):
    """Append-only without a back door short of switching the triggers off."""

    dependencies = [("audit", "0002_append_only")]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, restore_entry_triggers),
        migrations.AlterModelOptions(
            name="auditentry",
            options={"ordering": ("-id",), "verbose_name_plural": "audit entries"},
        ),
        migrations.AlterField(model_name="auditentry", name="actor_name", field=models.TextField()),
        migrations.AlterField(model_name="auditentry", name="object_id", field=models.TextField()),
        migrations.AlterField(
            model_name="auditentry", name="repo", field=models.TextField(blank=True)
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["repo", "-id"], name="audit_of_repo"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["branch", "repo", "-id"], name="audit_of_branch"),
        ),
        migrations.RunPython(refuse_changes, drop_new_triggers),
    ]
