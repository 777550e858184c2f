-- Every statement that the store runs, by name. `-- name: what` opens one; the line below says why.

-- Terms like state IN ('ready', 'intent', 'in_doubt') repeat the condition of the index
-- delivery_open, so that SQLite may use it.

-- name: add_person
INSERT INTO person (name, key_id, public_key, may_submit, may_approve, regions, classes, is_revoked)
VALUES (:name, :key_id, :public_key, :may_submit, :may_approve, :regions, :classes, :is_revoked);

-- name: person
SELECT name, key_id, public_key, may_submit, may_approve, regions, classes, is_revoked
FROM person WHERE name = :name;

-- name: person_by_key
SELECT name, key_id, public_key, may_submit, may_approve, regions, classes, is_revoked
FROM person WHERE key_id = :key_id;

-- name: people
SELECT name, key_id, public_key, may_submit, may_approve, regions, classes, is_revoked
FROM person ORDER BY name;

-- name: revoke_person
UPDATE person SET is_revoked = 1 WHERE name = :name;

-- name: add_region_key
INSERT INTO region_key (key_id, region, public_key) VALUES (:key_id, :region, :public_key);

-- name: region_keys
SELECT region, key_id, public_key FROM region_key ORDER BY region, key_id;

-- name: add_incident
INSERT INTO incident (incident_id, carrier, services, started_ms, state)
VALUES (:incident_id, :carrier, :services, :started_ms, :state);

-- name: incident
SELECT incident_id, carrier, services, started_ms, state
FROM incident WHERE incident_id = :incident_id;

-- name: incidents
SELECT incident_id, carrier, services, started_ms, state FROM incident ORDER BY started_ms;

-- name: set_incident_state
UPDATE incident SET state = :state WHERE incident_id = :incident_id;

-- name: add_bulletin
INSERT INTO bulletin
  (bulletin_id, incident_id, number, sender, identifier, state, document, submission)
VALUES
  (:bulletin_id, :incident_id, :number, :sender, :identifier, :state, :document, :submission);

-- name: bulletin
SELECT document, state, submission, decision FROM bulletin WHERE bulletin_id = :bulletin_id;

-- name: bulletin_of
SELECT document, state, submission, decision
FROM bulletin WHERE sender = :sender AND identifier = :identifier;

-- name: bulletins
SELECT document, state, submission, decision
FROM bulletin WHERE :incident_id IS NULL OR incident_id = :incident_id
ORDER BY incident_id, number;

-- name: set_bulletin_state
UPDATE bulletin SET state = :state WHERE bulletin_id = :bulletin_id;

-- name: decide
UPDATE bulletin SET state = :state, decision = :decision
WHERE bulletin_id = :bulletin_id AND decision IS NULL;

-- name: put_plan
UPDATE bulletin SET plan = :plan WHERE bulletin_id = :bulletin_id AND plan IS NULL;

-- name: plan
SELECT plan FROM bulletin WHERE bulletin_id = :bulletin_id;

-- name: serial_number
-- the newest version of the incident's message
SELECT message_code, update_number FROM serial_number
WHERE incident_id = :incident_id AND message_identifier = :message_identifier AND scope = :scope
ORDER BY used_ms DESC, rowid DESC LIMIT 1;

-- name: last_message_code
-- codes are given out in turn, so that the one used longest ago comes next
SELECT message_code FROM serial_number
WHERE message_identifier = :message_identifier AND scope = :scope
ORDER BY rowid DESC LIMIT 1;

-- name: message_code_used
SELECT max(used_ms) FROM serial_number
WHERE message_identifier = :message_identifier AND scope = :scope
  AND message_code = :message_code;

-- name: put_serial_number
INSERT INTO serial_number
  (message_identifier, scope, message_code, update_number, incident_id, used_ms)
VALUES
  (:message_identifier, :scope, :message_code, :update_number, :incident_id, :used_ms);

-- name: tokens
SELECT tokens, updated_s
FROM budget WHERE region = :region AND alert_class = :alert_class;

-- name: put_tokens
INSERT INTO budget (region, alert_class, tokens, updated_s)
VALUES (:region, :alert_class, :tokens, :updated_s)
ON CONFLICT (region, alert_class) DO UPDATE SET
  tokens = excluded.tokens, updated_s = excluded.updated_s;

-- name: remove_recipient
DELETE FROM recipient WHERE carrier = :carrier AND number = :number;

-- name: put_recipient
INSERT INTO recipient (carrier, region, number, language)
VALUES (:carrier, :region, :number, :language);

-- name: recipients
SELECT number, region, language
FROM recipient WHERE carrier = :carrier AND region = :region ORDER BY number;

-- name: count_recipients
SELECT carrier, region, count(*) FROM recipient GROUP BY carrier, region;

-- name: add_delivery
INSERT INTO delivery
  (bulletin_id, incident_id, number, peer_id, region, channel, message_identifier, serial_number,
   language, rank, is_stop, order_document, seal, recipients, expires_ms, state, updated_ms)
VALUES
  (:bulletin_id, :incident_id, :number, :peer_id, :region, :channel, :message_identifier,
   :serial_number, :language, :rank, :is_stop, :order_document, :seal, :recipients, :expires_ms,
   'ready', :updated_ms);

-- name: supersede
-- what never left, or never was answered, gives way to the newer bulletin
SELECT * FROM delivery
WHERE incident_id = :incident_id AND number < :before_number AND is_stop = 0
  AND (state = 'ready' OR state = 'in_doubt' AND channel = 'broadcast');

-- name: live_broadcasts
-- the newest version per peer, region and message identifier that was not stopped since
SELECT peer_id, region, message_identifier, serial_number, language FROM delivery AS d
WHERE incident_id = :incident_id AND channel = 'broadcast' AND is_stop = 0
  AND state IN ('ready', 'intent', 'acked', 'in_doubt')
  AND NOT EXISTS (
    SELECT 1 FROM delivery AS later
    WHERE later.incident_id = d.incident_id AND later.peer_id = d.peer_id
      AND later.region = d.region AND later.channel = d.channel
      AND later.message_identifier = d.message_identifier
      AND later.delivery_id > d.delivery_id
      AND (later.is_stop = 1 OR later.state IN ('ready', 'intent', 'acked', 'in_doubt')))
ORDER BY peer_id, region, message_identifier;

-- name: due
-- the next delivery of each lineage: highest class first, then bulletins in order; a lineage with
-- something in flight waits; a broadcast in doubt is sent again, short messages are not
SELECT * FROM (
  SELECT *, row_number() OVER (
    PARTITION BY incident_id, region, channel, message_identifier
    ORDER BY number, is_stop DESC, delivery_id) AS place
  FROM delivery AS d INDEXED BY delivery_open
  WHERE peer_id = :peer_id AND not_before_ms <= :at_ms
    AND state IN ('ready', 'intent', 'in_doubt')
    AND (state = 'ready' OR state = 'in_doubt' AND channel = 'broadcast')
    AND expires_ms > :at_ms
    AND NOT EXISTS (
      SELECT 1 FROM delivery AS busy INDEXED BY delivery_open
      WHERE busy.peer_id = d.peer_id
        AND busy.state IN ('ready', 'intent', 'in_doubt') AND busy.state = 'intent'
        AND busy.incident_id = d.incident_id AND busy.region = d.region
        AND busy.channel = d.channel AND busy.message_identifier IS d.message_identifier))
WHERE place = 1
ORDER BY rank, channel, number, delivery_id LIMIT :limit;

-- name: delivery_state
SELECT state FROM delivery WHERE delivery_id = :delivery_id;

-- name: settle
UPDATE delivery SET
  state = :state, reason = :reason, updated_ms = :at_ms,
  attempts = attempts + (:state = 'intent'),
  peer_reference = coalesce(:peer_reference, peer_reference),
  outcomes = coalesce(:outcomes, outcomes),
  not_before_ms = coalesce(:not_before_ms, not_before_ms)
WHERE delivery_id = :delivery_id;

-- name: deliveries
SELECT * FROM delivery WHERE :bulletin_id IS NULL OR bulletin_id = :bulletin_id
ORDER BY delivery_id;

-- name: in_state
SELECT * FROM delivery
WHERE state IN ('ready', 'intent', 'in_doubt') AND state = :state ORDER BY delivery_id;

-- name: past_expiry
SELECT * FROM delivery
WHERE state IN ('ready', 'intent', 'in_doubt') AND expires_ms <= :at_ms
  AND (state = 'ready' OR state = 'in_doubt' AND channel = 'broadcast')
ORDER BY delivery_id;

-- name: peer_reference
-- what the peer calls the version that is on air, unless it was stopped since
SELECT d.peer_reference FROM delivery AS d
WHERE d.peer_id = :peer_id AND d.incident_id = :incident_id AND d.region = :region
  AND d.channel = 'broadcast' AND d.message_identifier = :message_identifier
  AND d.delivery_id < :delivery_id AND d.is_stop = 0 AND d.state = 'acked'
  AND NOT EXISTS (
    SELECT 1 FROM delivery AS stop
    WHERE stop.peer_id = d.peer_id AND stop.incident_id = d.incident_id
      AND stop.region = d.region AND stop.message_identifier = d.message_identifier
      AND stop.is_stop = 1 AND stop.state = 'acked' AND stop.delivery_id > d.delivery_id)
ORDER BY d.delivery_id DESC LIMIT 1;

-- name: record
INSERT INTO event (at_ms, subject, what, actor, detail)
VALUES (:at_ms, :subject, :what, :actor, :detail);

-- name: events
SELECT at_ms, subject, what, actor, detail
FROM event WHERE :subject IS NULL OR subject = :subject ORDER BY event_id;
