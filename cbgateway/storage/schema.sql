-- Times are milliseconds since the epoch (UTC). Documents are JSON with a format number inside.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
  name        TEXT PRIMARY KEY,
  key_id      TEXT NOT NULL UNIQUE,
  public_key  BLOB NOT NULL,
  may_submit  INTEGER NOT NULL,
  may_approve INTEGER NOT NULL,
  regions     TEXT NOT NULL,     -- JSON array of region codes
  classes     TEXT NOT NULL,     -- JSON array of alert classes
  is_revoked  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE region_key (
  key_id     TEXT PRIMARY KEY,
  region     TEXT NOT NULL,
  public_key BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE incident (
  incident_id TEXT PRIMARY KEY,
  carrier     TEXT NOT NULL,
  services    TEXT NOT NULL,     -- JSON array
  started_ms  INTEGER NOT NULL,
  state       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bulletin (
  bulletin_id TEXT PRIMARY KEY,  -- incident_id/number
  incident_id TEXT NOT NULL REFERENCES incident,
  number      INTEGER NOT NULL,
  sender      TEXT NOT NULL,
  identifier  TEXT NOT NULL,
  state       TEXT NOT NULL,
  document    TEXT NOT NULL,     -- the bulletin; never changed
  submission  TEXT NOT NULL,     -- who, when, content hash, signature; never changed
  decision    TEXT,              -- who, when, plan hash, signature, reason; written once
  plan        TEXT,              -- what was approved; written once
  UNIQUE (incident_id, number),
  UNIQUE (sender, identifier)    -- an identifier names one bulletin for ever
) STRICT, WITHOUT ROWID;

-- One row per version of a message; (message_identifier, scope, code, update) is what phones
-- compare, so no row may ever be there twice within the duplicate window.
CREATE TABLE serial_number (
  message_identifier INTEGER NOT NULL,
  scope              INTEGER NOT NULL,
  message_code       INTEGER NOT NULL,
  update_number      INTEGER NOT NULL,
  incident_id        TEXT NOT NULL REFERENCES incident,
  used_ms            INTEGER NOT NULL
) STRICT;
CREATE INDEX serial_number_by_incident
  ON serial_number (incident_id, message_identifier, scope, used_ms);
CREATE INDEX serial_number_by_code
  ON serial_number (message_identifier, scope, message_code, used_ms);

CREATE TABLE budget (
  region         TEXT NOT NULL,
  alert_class    TEXT NOT NULL,
  tokens         REAL NOT NULL,
  updated_s      REAL NOT NULL,
  PRIMARY KEY (region, alert_class)
) STRICT, WITHOUT ROWID;

CREATE TABLE recipient (
  carrier  TEXT NOT NULL,
  region   TEXT NOT NULL,
  number   TEXT NOT NULL,
  language TEXT NOT NULL,
  PRIMARY KEY (carrier, region, number),
  UNIQUE (carrier, number)       -- a subscriber belongs to one region
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
  delivery_id        INTEGER PRIMARY KEY,
  bulletin_id        TEXT NOT NULL REFERENCES bulletin,
  incident_id        TEXT NOT NULL,
  number             INTEGER NOT NULL,
  peer_id            TEXT NOT NULL,
  region             TEXT NOT NULL,
  channel            TEXT NOT NULL,
  message_identifier INTEGER,
  serial_number      INTEGER,
  language           TEXT NOT NULL,
  rank               INTEGER NOT NULL,
  is_stop            INTEGER NOT NULL,
  order_document     TEXT NOT NULL,
  seal               TEXT NOT NULL,
  recipients         INTEGER NOT NULL,
  expires_ms         INTEGER NOT NULL,
  state              TEXT NOT NULL,
  attempts           INTEGER NOT NULL DEFAULT 0,
  not_before_ms      INTEGER NOT NULL DEFAULT 0,
  outcomes           BLOB NOT NULL DEFAULT x'',
  peer_reference     TEXT NOT NULL DEFAULT '',
  reason             TEXT NOT NULL DEFAULT '',
  updated_ms         INTEGER NOT NULL
) STRICT;
-- Open work stays small whatever the history: these indexes hold nothing that has ended.
CREATE INDEX delivery_open ON delivery (state, peer_id, not_before_ms)
  WHERE state IN ('ready', 'intent', 'in_doubt');
CREATE INDEX delivery_by_bulletin ON delivery (bulletin_id);
CREATE INDEX delivery_by_lineage
  ON delivery (peer_id, incident_id, region, channel, message_identifier, number);
CREATE INDEX delivery_by_incident ON delivery (incident_id, number);

CREATE TABLE event (
  event_id INTEGER PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  subject  TEXT NOT NULL,
  what     TEXT NOT NULL,
  actor    TEXT NOT NULL,
  detail   TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_subject ON event (subject);
