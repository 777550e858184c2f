-- Times are milliseconds since the epoch (UTC). Documents are JSON with a format number inside.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How often something has changed that others rely on: permissions and keys, recipient lists.
CREATE TABLE counter (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
  name        TEXT PRIMARY KEY,
  may_submit  INTEGER NOT NULL,
  may_approve INTEGER NOT NULL,
  permission  TEXT NOT NULL,     -- regions, classes, channels, severity_max, kinds
  owner       TEXT NOT NULL,     -- of a machine: who answers for its key
  is_revoked  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE person_key (
  key_id     TEXT PRIMARY KEY,
  holder     TEXT NOT NULL REFERENCES person,
  public_key BLOB NOT NULL UNIQUE,  -- two people never share a key
  since_ms   INTEGER NOT NULL,
  until_ms   INTEGER,
  is_revoked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Folders made for the day that this gateway is cut off, and how much of each was taken over.
CREATE TABLE kit (
  name             TEXT PRIMARY KEY,
  slot             INTEGER NOT NULL,
  gateway_id       TEXT NOT NULL UNIQUE,
  audit_public_key BLOB NOT NULL,
  made_ms          INTEGER NOT NULL,
  until_ms         INTEGER NOT NULL,
  merged_size      INTEGER NOT NULL,
  merged_root      BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE region_key (
  key_id     TEXT PRIMARY KEY,
  holder     TEXT NOT NULL,         -- the region
  kit        TEXT NOT NULL,         -- which offline kit has the private half; empty: this gateway
  public_key BLOB NOT NULL,
  since_ms   INTEGER NOT NULL,
  until_ms   INTEGER,
  is_revoked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE incident (
  incident_id TEXT PRIMARY KEY,
  carrier     TEXT NOT NULL,
  services    TEXT NOT NULL,     -- JSON array
  started_ms  INTEGER NOT NULL,
  state       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bulletin (
  bulletin_id  TEXT PRIMARY KEY, -- incident_id/number
  incident_id  TEXT NOT NULL REFERENCES incident,
  number       INTEGER NOT NULL,
  state        TEXT NOT NULL,
  document     TEXT NOT NULL,    -- the bulletin; changed only while it is a draft or returned
  submission   TEXT NOT NULL,    -- who, when, content hash, signature, hands
  submitted_by TEXT NOT NULL,
  submitted_ms INTEGER NOT NULL,
  said         TEXT NOT NULL,    -- SHA-256 of regions and texts: the same said to the same people
  expires_ms   INTEGER NOT NULL,
  decision     TEXT,             -- who, when, plan hash, signature, reason
  decided_by   TEXT,
  decided_ms   INTEGER,
  plan         TEXT,             -- what was approved
  UNIQUE (incident_id, number),
  CHECK (state NOT IN ('approved', 'live') OR decided_by <> submitted_by AND plan IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX bulletin_open ON bulletin (expires_ms)
  WHERE state IN ('pending', 'returned', 'approved', 'live');
CREATE INDEX bulletin_undispatched ON bulletin (decided_ms) WHERE state = 'approved';
CREATE INDEX bulletin_told ON bulletin (incident_id) WHERE plan IS NOT NULL;
CREATE INDEX bulletin_by_sender ON bulletin (submitted_by, submitted_ms);
CREATE INDEX bulletin_by_said ON bulletin (submitted_by, said, submitted_ms);
CREATE INDEX bulletin_by_code ON bulletin (json_extract(document, '$.code'));
CREATE TRIGGER bulletin_is_immutable BEFORE UPDATE OF document ON bulletin
  WHEN old.state NOT IN ('draft', 'returned')
  BEGIN SELECT raise(ABORT, 'a bulletin that was submitted is never changed'); END;

-- Which incidents have to be looked at for a promise, and when: never later than it is due.
-- Whether there is one is read from the bulletins then.
CREATE TABLE watch (
  incident_id TEXT PRIMARY KEY REFERENCES incident,
  is_first    INTEGER NOT NULL,  -- nothing was said: look_ms is the beginning, notice is due later
  look_ms     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX watch_due ON watch (is_first, look_ms);

-- Every signed document that ever came in; an identifier names one document for ever.
CREATE TABLE revision (
  sender       TEXT NOT NULL,
  identifier   TEXT NOT NULL,
  bulletin_id  TEXT NOT NULL REFERENCES bulletin,
  content_hash TEXT NOT NULL,
  PRIMARY KEY (sender, identifier)
) STRICT, WITHOUT ROWID;

-- Bulletins as CAP alerts, as they came in or first went out; a name is given once.
CREATE TABLE publication (
  sender       TEXT NOT NULL,
  identifier   TEXT NOT NULL,
  sent_ms      INTEGER NOT NULL,
  bulletin_id  TEXT NOT NULL REFERENCES bulletin,
  content_hash TEXT NOT NULL,    -- of the document that the bulletin was submitted as
  source_hash  TEXT NOT NULL,    -- of the alert that came in; empty for one that went out
  octets       BLOB NOT NULL,
  PRIMARY KEY (sender, identifier),
  UNIQUE (bulletin_id, content_hash)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER publication_is_never_changed BEFORE UPDATE ON publication
  BEGIN SELECT raise(ABORT, 'what was told to others is never changed'); END;

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
CREATE INDEX serial_number_of_first ON serial_number (message_identifier, scope)
  WHERE update_number = 0;
CREATE INDEX serial_number_by_code
  ON serial_number (message_identifier, scope, message_code, used_ms);

CREATE TABLE budget (
  region      TEXT NOT NULL,
  alert_class TEXT NOT NULL,
  sender      TEXT NOT NULL,     -- empty: what all senders share
  tokens      REAL NOT NULL,
  updated_s   REAL NOT NULL,
  PRIMARY KEY (region, alert_class, sender)
) STRICT, WITHOUT ROWID;

-- Which bulletins have taken their token; the first order that leaves takes it.
CREATE TABLE spent (
  bulletin_id TEXT NOT NULL REFERENCES bulletin,
  region      TEXT NOT NULL,
  PRIMARY KEY (bulletin_id, region)
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
  rank               INTEGER NOT NULL,           -- 0 for what is never blocked
  is_stop            INTEGER NOT NULL,
  order_document     TEXT NOT NULL,
  seal               TEXT NOT NULL,
  recipients         INTEGER NOT NULL,
  expires_ms         INTEGER NOT NULL,
  state              TEXT NOT NULL,
  due_ms             INTEGER,                    -- when to look at it again; NULL for never
  attempts           INTEGER NOT NULL DEFAULT 0,
  outcomes           BLOB NOT NULL DEFAULT x'',
  peer_reference     TEXT NOT NULL DEFAULT '',
  alias              INTEGER NOT NULL DEFAULT 0, -- what we call a broadcast at its peer
  is_on_air          INTEGER NOT NULL DEFAULT 0, -- may have left, not stopped or replaced since
  reason             TEXT NOT NULL DEFAULT '',
  updated_ms         INTEGER NOT NULL
) STRICT;
-- Open work stays small whatever the history: these indexes hold nothing that has ended.
CREATE INDEX delivery_due ON delivery (peer_id, rank, delivery_id) WHERE due_ms IS NOT NULL;
CREATE INDEX delivery_flight ON delivery (peer_id, incident_id) WHERE state = 'intent';
CREATE INDEX delivery_open ON delivery (expires_ms)
  WHERE state IN ('ready', 'intent', 'in_doubt');
CREATE INDEX delivery_on_air ON delivery (peer_id, incident_id, region, message_identifier)
  WHERE is_on_air = 1;
CREATE INDEX delivery_named ON delivery (peer_id, peer_reference)
  WHERE is_on_air = 1 AND peer_reference <> '';
CREATE INDEX delivery_by_bulletin ON delivery (bulletin_id);
CREATE INDEX delivery_by_incident ON delivery (incident_id, number);

-- What a machine's request was answered, so that the same request again does nothing again.
-- `name` is a nonce of its signature or a key that it chose; the digest tells requests apart.
CREATE TABLE answer (
  holder   TEXT NOT NULL,        -- who asked
  name     TEXT NOT NULL,
  digest   TEXT NOT NULL,
  status   INTEGER NOT NULL,
  body     TEXT NOT NULL,
  until_ms INTEGER NOT NULL,     -- after this the row goes
  PRIMARY KEY (holder, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_ends ON answer (until_ms);

-- Alarms of network monitoring, and the incident that each is taken for a part of.
CREATE TABLE alarm (
  sender      TEXT NOT NULL,
  alarm_id    TEXT NOT NULL,
  incident_id TEXT NOT NULL REFERENCES incident,
  cause       TEXT NOT NULL,
  region      TEXT NOT NULL,     -- empty: the incident's own
  is_cleared  INTEGER NOT NULL,
  raised_ms   INTEGER NOT NULL,
  PRIMARY KEY (sender, alarm_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX alarm_by_incident ON alarm (incident_id, is_cleared);
CREATE INDEX alarm_by_cause ON alarm (sender, cause, raised_ms);
-- What message centres call the messages that they took, for their receipts: ids joined by NUL.
CREATE TABLE taken_ids (
  taken_number INTEGER PRIMARY KEY,
  peer_id      TEXT NOT NULL,
  delivery_id  INTEGER NOT NULL REFERENCES delivery,
  parts        INTEGER NOT NULL,     -- messages that the text was cut into
  start        INTEGER NOT NULL,     -- index of the first recipient; the others follow
  ids          BLOB NOT NULL
) STRICT;
CREATE TABLE receipt_states (
  delivery_id INTEGER PRIMARY KEY REFERENCES delivery,
  parts       INTEGER NOT NULL,
  states      BLOB NOT NULL          -- an octet each part: SMPP message_state, 0 for nothing yet
) STRICT;
-- What a centre says of a broadcast on air, and when to ask it.
CREATE TABLE on_air_question (
  delivery_id INTEGER PRIMARY KEY REFERENCES delivery,
  peer_id     TEXT NOT NULL,
  due_ms      INTEGER,               -- NULL once it was asked
  asked_ms    INTEGER,
  state       INTEGER,               -- SMPP message_state; NULL when it told none
  areas       TEXT NOT NULL DEFAULT '[]', -- JSON: each as `AreaOnAir` has it
  problem     TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX on_air_question_due ON on_air_question (peer_id, due_ms) WHERE due_ms IS NOT NULL;
-- Receipts that came before the answer to their message, or belong to one in doubt.
CREATE TABLE parked_receipt (
  receipt_number INTEGER PRIMARY KEY,
  peer_id        TEXT NOT NULL,
  received_ms    INTEGER NOT NULL,
  message_id     BLOB NOT NULL,
  state          INTEGER NOT NULL,
  subscriber     TEXT NOT NULL,
  originator     TEXT NOT NULL,
  reference      INTEGER
) STRICT;
-- What subscribers wrote, until somebody has handled it.
CREATE TABLE incoming_message (
  message_number INTEGER PRIMARY KEY AUTOINCREMENT,
  peer_id        TEXT NOT NULL,
  received_ms    INTEGER NOT NULL,
  source         TEXT NOT NULL,
  destination    TEXT NOT NULL,
  body           TEXT NOT NULL,
  part           INTEGER NOT NULL,
  parts          INTEGER NOT NULL,
  reference      INTEGER NOT NULL
) STRICT;

CREATE INDEX incoming_message_to ON incoming_message (peer_id, destination, message_number);

-- Enquiries. Nothing here names who asked: names are keyed hashes, numbers are encrypted.
CREATE TABLE subscription (
  subscription_number INTEGER PRIMARY KEY AUTOINCREMENT,
  peer_id  TEXT NOT NULL,
  name     TEXT NOT NULL,        -- keyed hash of the number
  sealed   BLOB NOT NULL,        -- the number, encrypted
  regions  TEXT NOT NULL,        -- JSON array of codes
  language TEXT NOT NULL,
  until_ms INTEGER NOT NULL,
  UNIQUE (name, peer_id)
) STRICT;
CREATE INDEX subscription_ends ON subscription (until_ms);
CREATE INDEX subscription_of_peer ON subscription (peer_id, subscription_number);
-- How far a carrier's subscribers have been told of a bulletin.
CREATE TABLE subscriber_round (
  bulletin_id TEXT NOT NULL REFERENCES bulletin,
  peer_id     TEXT NOT NULL,
  after       INTEGER NOT NULL,  -- the last subscription that was committed to
  up_to       INTEGER NOT NULL,
  in_flight   INTEGER NOT NULL,
  told        INTEGER NOT NULL,
  refused     INTEGER NOT NULL,
  in_doubt    INTEGER NOT NULL,
  PRIMARY KEY (bulletin_id, peer_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriber_round_open ON subscriber_round (peer_id)
  WHERE after < up_to OR in_flight > 0;
CREATE INDEX bulletin_live ON bulletin (bulletin_id) WHERE state = 'live';
-- Who says that something does not work: once for each sender and hour.
CREATE TABLE outage_report (
  hour_ms INTEGER NOT NULL,
  peer_id TEXT NOT NULL,
  region  TEXT NOT NULL,
  name    TEXT NOT NULL,         -- keyed hash of the number, with a key of that day
  PRIMARY KEY (hour_ms, name)
) STRICT, WITHOUT ROWID;
-- What nobody could answer: digits and addresses are masked.
CREATE TABLE question (
  body     TEXT NOT NULL,
  source   TEXT NOT NULL,        -- sms, or who noted it
  asked    INTEGER NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms  INTEGER NOT NULL,
  PRIMARY KEY (body, source)
) STRICT, WITHOUT ROWID;
CREATE TABLE enquiry_total (
  peer_id TEXT NOT NULL,
  what    TEXT NOT NULL,
  value   INTEGER NOT NULL,
  PRIMARY KEY (peer_id, what)
) STRICT, WITHOUT ROWID;

-- The audit log: a leaf for every fact, written with it, and the complete subtrees above.
CREATE TABLE audit (
  leaf_index INTEGER PRIMARY KEY,
  subject    TEXT NOT NULL,
  entry      BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_subject ON audit (subject);
CREATE TABLE audit_node (
  level      INTEGER NOT NULL,
  node_index INTEGER NOT NULL,
  hash       BLOB NOT NULL,
  PRIMARY KEY (level, node_index)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
  BEGIN SELECT raise(ABORT, 'history is never changed'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
  BEGIN SELECT raise(ABORT, 'history is never deleted'); END;
