-- Every statement that the store runs, by name. `-- name: what` opens one; the line below says why.

-- Terms like state IN ('ready', 'intent', 'in_doubt') repeat the condition of a partial index,
-- so that SQLite may use it.

-- name: put_person
INSERT INTO person (name, may_submit, may_approve, permission, owner, is_revoked)
VALUES (:name, :may_submit, :may_approve, :permission, :owner, :is_revoked)
ON CONFLICT (name) DO UPDATE SET
  may_submit = excluded.may_submit, may_approve = excluded.may_approve,
  permission = excluded.permission, owner = excluded.owner, is_revoked = excluded.is_revoked;

-- name: person
SELECT * FROM person WHERE name = :name;

-- name: people
SELECT * FROM person ORDER BY name;

-- name: put_person_key
INSERT INTO person_key (key_id, holder, public_key, since_ms, until_ms, is_revoked)
VALUES (:key_id, :holder, :public_key, :since_ms, :until_ms, :is_revoked)
ON CONFLICT (key_id) DO UPDATE SET
  until_ms = excluded.until_ms, is_revoked = excluded.is_revoked;

-- name: person_key
SELECT * FROM person_key WHERE key_id = :key_id;

-- name: person_keys
SELECT * FROM person_key WHERE :name IS NULL OR holder = :name ORDER BY holder, since_ms, key_id;

-- name: put_region_key
INSERT INTO region_key (key_id, holder, kit, public_key, since_ms, until_ms, is_revoked)
VALUES (:key_id, :holder, :kit, :public_key, :since_ms, :until_ms, :is_revoked)
ON CONFLICT (key_id) DO UPDATE SET
  until_ms = excluded.until_ms, is_revoked = excluded.is_revoked;

-- name: region_keys
SELECT * FROM region_key ORDER BY holder, since_ms, key_id;

-- name: own_kit
SELECT key, value FROM meta WHERE key IN ('kit', 'kit_slot', 'kit_until', 'kit_closed');

-- name: put_kit
INSERT INTO kit
  (name, slot, gateway_id, audit_public_key, made_ms, until_ms, merged_size, merged_root)
VALUES
  (:name, :slot, :gateway_id, :audit_public_key, :made_ms, :until_ms, :merged_size, :merged_root)
ON CONFLICT (name) DO UPDATE SET
  until_ms = excluded.until_ms, merged_size = excluded.merged_size,
  merged_root = excluded.merged_root;

-- name: kits
SELECT * FROM kit ORDER BY made_ms, name;

-- name: adopt_bulletin
-- as another gateway has it, with what was decided
INSERT INTO bulletin
  (bulletin_id, incident_id, number, state, document, submission, submitted_by, submitted_ms,
   said, expires_ms, decision, decided_by, decided_ms, plan)
VALUES
  (:bulletin_id, :incident_id, :number, :state, :document, :submission, :submitted_by,
   :submitted_ms, :said, :expires_ms, :decision, :decided_by, :decided_ms, :plan);

-- name: adopt_delivery
INSERT INTO delivery
  (bulletin_id, incident_id, number, peer_id, region, channel, message_identifier, serial_number,
   language, rank, is_stop, order_document, seal, recipients, expires_ms, state, due_ms, attempts,
   outcomes, peer_reference, alias, is_on_air, reason, updated_ms)
VALUES
  (:bulletin_id, :incident_id, :number, :peer_id, :region, :channel, :message_identifier,
   :serial_number, :language, :rank, :is_stop, :order_document, :seal, :recipients, :expires_ms,
   :state, :due_ms, :attempts, :outcomes, :peer_reference, :alias, :is_on_air, :reason, :at_ms);

-- name: serial_numbers
SELECT message_identifier, scope, message_code, update_number, used_ms FROM serial_number
WHERE incident_id = :incident_id ORDER BY rowid;

-- name: counter
SELECT value FROM counter WHERE name = :name;

-- name: bump
INSERT INTO counter (name, value) VALUES (:name, 1)
ON CONFLICT (name) DO UPDATE SET value = value + 1;

-- name: add_incident
INSERT INTO incident (incident_id, carrier, services, started_ms, state)
VALUES (:incident_id, :carrier, :services, :started_ms, :state);

-- name: incident
SELECT incident_id, carrier, services, started_ms, state
FROM incident WHERE incident_id = :incident_id;

-- name: incidents
SELECT incident_id, carrier, services, started_ms, state FROM incident ORDER BY started_ms;

-- name: told_incidents
-- what only waits, however much of it, costs the public pages nothing
SELECT incident_id, carrier, services, started_ms, state FROM incident
WHERE incident_id IN (SELECT incident_id FROM bulletin WHERE plan IS NOT NULL)
ORDER BY started_ms;

-- name: incidents_after
SELECT incident_id, carrier, services, started_ms, state
FROM incident WHERE incident_id > :after ORDER BY incident_id LIMIT :limit;

-- name: set_incident_state
UPDATE incident SET state = :state WHERE incident_id = :incident_id;

-- name: add_bulletin
INSERT INTO bulletin
  (bulletin_id, incident_id, number, state, document, submission, submitted_by, submitted_ms,
   said, expires_ms)
VALUES
  (:bulletin_id, :incident_id, :number, :state, :document, :submission, :submitted_by,
   :submitted_ms, :said, :expires_ms);

-- name: revise_bulletin
UPDATE bulletin SET
  document = :document, submission = :submission, submitted_by = :submitted_by,
  submitted_ms = :submitted_ms, said = :said, expires_ms = :expires_ms,
  decision = NULL, decided_by = NULL, decided_ms = NULL, plan = NULL
WHERE bulletin_id = :bulletin_id;

-- name: add_revision
INSERT INTO revision (sender, identifier, bulletin_id, content_hash)
VALUES (:sender, :identifier, :bulletin_id, :content_hash);

-- name: bulletin
SELECT document, state, submission, decision FROM bulletin WHERE bulletin_id = :bulletin_id;

-- name: bulletin_state
SELECT state FROM bulletin WHERE bulletin_id = :bulletin_id;

-- name: bulletin_of
SELECT b.document, b.state, b.submission, b.decision, r.content_hash
FROM revision AS r JOIN bulletin AS b USING (bulletin_id)
WHERE r.sender = :sender AND r.identifier = :identifier;

-- name: bulletin_with_code
SELECT document, state, submission, decision FROM bulletin
WHERE json_extract(document, '$.code') = :code;

-- name: bulletins
SELECT document, state, submission, decision
FROM bulletin ORDER BY incident_id, number;

-- name: bulletins_of
-- Apart from the one above, so that SQLite uses the index whatever the history's length.
SELECT document, state, submission, decision
FROM bulletin WHERE incident_id = :incident_id ORDER BY number;

-- name: last_bulletin_ids
SELECT bulletin_id FROM bulletin ORDER BY incident_id DESC, number DESC LIMIT :limit;

-- name: recent_texts
SELECT bulletin_id, state, json_extract(document, '$.texts.' || :language) AS text,
  json_extract(document, '$.code') AS code
FROM bulletin WHERE submitted_by = :sender AND submitted_ms >= :since_ms
ORDER BY submitted_ms DESC LIMIT :limit;

-- name: told_before
SELECT document, state, submission, decision
FROM bulletin WHERE submitted_by = :sender AND said = :said AND submitted_ms >= :since_ms
ORDER BY submitted_ms DESC;

-- name: ended_bulletins
SELECT document, state, submission, decision FROM bulletin
WHERE state IN ('pending', 'returned', 'approved', 'live') AND expires_ms <= :at_ms
ORDER BY expires_ms LIMIT :limit;

-- name: undispatched_bulletins
-- approved, and nothing of it has left or may have
SELECT document, state, submission, decision FROM bulletin AS b
WHERE state = 'approved' AND decided_ms < :before_ms
  AND NOT EXISTS (
    SELECT 1 FROM delivery AS d WHERE d.bulletin_id = b.bulletin_id AND d.state = 'intent');

-- name: set_bulletin_state
UPDATE bulletin SET state = :state WHERE bulletin_id = :bulletin_id;

-- name: decide
UPDATE bulletin SET
  state = :state, decision = :decision, decided_by = :decided_by, decided_ms = :decided_ms
WHERE bulletin_id = :bulletin_id;

-- name: watch_beginning
-- whoever is watched already is looked at soon enough
INSERT INTO watch (incident_id, is_first, look_ms)
SELECT incident_id, 1, started_ms FROM incident WHERE incident_id = :incident_id
ON CONFLICT DO NOTHING;

-- name: watch
INSERT INTO watch (incident_id, is_first, look_ms) VALUES (:incident_id, 0, :look_ms)
ON CONFLICT (incident_id) DO UPDATE SET is_first = 0, look_ms = excluded.look_ms;

-- name: watch_now
INSERT INTO watch (incident_id, is_first, look_ms)
SELECT incident_id, 0, 0 FROM bulletin WHERE bulletin_id = :bulletin_id
ON CONFLICT (incident_id) DO UPDATE SET is_first = 0, look_ms = 0;

-- name: unwatch
DELETE FROM watch WHERE incident_id = :incident_id;

-- name: watched
SELECT incident_id FROM watch;

-- name: due_watches
SELECT incident_id FROM watch WHERE is_first = 0 AND look_ms <= :at_ms
UNION ALL
SELECT incident_id FROM watch WHERE is_first = 1 AND look_ms <= :began_ms
LIMIT :limit;

-- name: put_plan
UPDATE bulletin SET plan = :plan WHERE bulletin_id = :bulletin_id;

-- name: plan
SELECT plan FROM bulletin WHERE bulletin_id = :bulletin_id;

-- name: serial_number
-- the newest version of the incident's message
SELECT message_code, update_number FROM serial_number
WHERE incident_id = :incident_id AND message_identifier = :message_identifier AND scope = :scope
ORDER BY used_ms DESC, rowid DESC LIMIT 1;

-- name: last_serial_number
-- codes are given out in turn, so that the one used longest ago comes next; the plus keeps to the
-- index in which the newest is the last
SELECT message_code, update_number FROM serial_number
WHERE message_identifier = :message_identifier AND scope = :scope AND update_number = 0
  AND +message_code BETWEEN :first AND :last
ORDER BY rowid DESC LIMIT 1;

-- name: code_used
SELECT max(used_ms) FROM serial_number
WHERE message_identifier = :message_identifier AND scope = :scope
  AND message_code = :message_code;

-- name: put_serial_number
INSERT INTO serial_number
  (message_identifier, scope, message_code, update_number, incident_id, used_ms)
VALUES
  (:message_identifier, :scope, :message_code, :update_number, :incident_id, :used_ms);

-- name: tokens
SELECT tokens, updated_s FROM budget
WHERE region = :region AND alert_class = :alert_class AND sender = :sender;

-- name: put_tokens
INSERT INTO budget (region, alert_class, sender, tokens, updated_s)
VALUES (:region, :alert_class, :sender, :tokens, :updated_s)
ON CONFLICT (region, alert_class, sender) DO UPDATE SET
  tokens = excluded.tokens, updated_s = excluded.updated_s;

-- name: spent
SELECT 1 FROM spent WHERE bulletin_id = :bulletin_id AND region = :region;

-- name: put_spent
INSERT INTO spent (bulletin_id, region) VALUES (:bulletin_id, :region);

-- name: make_staged
-- a list before it is accepted; this file is the connection's own, and no lock is held for it
CREATE TEMP TABLE IF NOT EXISTS staged (
  line INTEGER PRIMARY KEY, number TEXT NOT NULL, region TEXT NOT NULL, language TEXT NOT NULL
);

-- name: stage
INSERT INTO staged (line, number, region, language) VALUES (?, ?, ?, ?);

-- name: staged_twice
SELECT line, number FROM (
  SELECT line, number, row_number() OVER (PARTITION BY number ORDER BY line) AS nth FROM staged)
WHERE nth > 1 ORDER BY line LIMIT :limit;

-- name: count_staged
SELECT count(*) FROM staged;

-- name: clear_staged
DELETE FROM staged;

-- name: put_staged_recipients
-- who is on the list already, as the list says, costs no write
INSERT INTO recipient (carrier, region, number, language)
SELECT :carrier, region, number, language FROM staged WHERE true ORDER BY region, number
ON CONFLICT (carrier, number) DO UPDATE SET region = excluded.region, language = excluded.language
WHERE region <> excluded.region OR language <> excluded.language;

-- name: recipients
SELECT number, region, language
FROM recipient WHERE carrier = :carrier AND region = :region ORDER BY number;

-- name: count_recipients
SELECT carrier, region, count(*) FROM recipient GROUP BY carrier, region;

-- name: add_delivery
INSERT INTO delivery
  (bulletin_id, incident_id, number, peer_id, region, channel, message_identifier, serial_number,
   language, rank, is_stop, order_document, seal, recipients, expires_ms, state, due_ms, updated_ms)
VALUES
  (:bulletin_id, :incident_id, :number, :peer_id, :region, :channel, :message_identifier,
   :serial_number, :language, :rank, :is_stop, :order_document, :seal, :recipients, :expires_ms,
   'ready', :at_ms, :at_ms);

-- name: alias
-- what we call this message at this peer in this area, whatever its version
SELECT alias FROM delivery
WHERE incident_id = :incident_id AND peer_id = :peer_id AND region = :region
  AND message_identifier = :message_identifier AND serial_number & 65520 = :serial_number & 65520
  AND alias > 0
LIMIT 1;

-- name: set_alias
UPDATE delivery SET alias = :alias WHERE delivery_id = :delivery_id;

-- name: delivery
SELECT * FROM delivery WHERE delivery_id = :delivery_id;

-- name: unfinished
-- what a newer bulletin takes the place of, unless it is under way at this moment
SELECT * FROM delivery
WHERE incident_id = :incident_id AND (:before_number IS NULL OR number < :before_number)
  AND is_stop = 0 AND state IN ('ready', 'in_doubt')
ORDER BY delivery_id;

-- name: live_broadcasts
-- the newest version of each message that has left, may have, or is about to
SELECT peer_id, region, message_identifier, max(delivery_id), serial_number, language
FROM delivery
WHERE incident_id = :incident_id AND channel = 'broadcast' AND is_stop = 0
  AND (is_on_air = 1 OR state IN ('ready', 'intent'))
GROUP BY peer_id, region, message_identifier, serial_number & 65520
ORDER BY peer_id, region, message_identifier, serial_number & 65520;

-- name: due
-- One bulletin of an incident is under way at a peer at a time, and one order of a lineage; what is
-- never blocked waits for neither, but for its own kind.
SELECT * FROM delivery AS d INDEXED BY delivery_due
WHERE peer_id = :peer_id AND due_ms IS NOT NULL AND due_ms <= :at_ms AND expires_ms > :at_ms
  AND rank <= :rank_max AND (:with_sms OR channel = 'broadcast')
  AND NOT EXISTS (
    SELECT 1 FROM delivery AS busy INDEXED BY delivery_flight
    WHERE busy.peer_id = d.peer_id AND busy.incident_id = d.incident_id AND busy.state = 'intent'
      AND (busy.number <> d.number AND d.rank > 0
        OR busy.number = d.number AND busy.region = d.region AND busy.channel = d.channel
          AND busy.message_identifier IS d.message_identifier))
ORDER BY rank, delivery_id LIMIT :limit;

-- name: waiting_peers
-- from peer to peer over the index, however many orders each has
WITH RECURSIVE peer (id) AS (
  SELECT min(peer_id) FROM delivery INDEXED BY delivery_due WHERE due_ms IS NOT NULL
  UNION ALL
  SELECT (SELECT min(peer_id) FROM delivery INDEXED BY delivery_due
          WHERE due_ms IS NOT NULL AND peer_id > peer.id)
  FROM peer WHERE peer.id IS NOT NULL)
SELECT id FROM peer WHERE id IS NOT NULL
UNION SELECT peer_id FROM on_air_question INDEXED BY on_air_question_due WHERE due_ms IS NOT NULL;

-- name: more_urgent_sms
SELECT 1 FROM delivery INDEXED BY delivery_due
WHERE peer_id = :peer_id AND due_ms IS NOT NULL AND due_ms <= :at_ms AND expires_ms > :at_ms
  AND rank < :rank AND channel = 'sms'
LIMIT 1;

-- name: delivery_state
SELECT state FROM delivery WHERE delivery_id = :delivery_id;

-- name: settle
UPDATE delivery SET
  state = :state, reason = :reason, updated_ms = :at_ms, due_ms = :due_ms,
  attempts = attempts + (:state = 'intent' AND state <> 'intent'),
  peer_reference = coalesce(:peer_reference, peer_reference),
  outcomes = coalesce(:outcomes, outcomes),
  is_on_air = coalesce(:is_on_air, is_on_air)
WHERE delivery_id = :delivery_id;

-- name: off_air
UPDATE delivery SET is_on_air = 0
WHERE is_on_air = 1 AND peer_id = :peer_id AND incident_id = :incident_id AND region = :region
  AND message_identifier = :message_identifier AND serial_number & 65520 = :serial_number & 65520
  AND (:before_id IS NULL OR delivery_id < :before_id);

-- name: handle
SELECT peer_reference, alias, state, serial_number, order_document FROM delivery
WHERE is_on_air = 1 AND peer_id = :peer_id AND incident_id = :incident_id AND region = :region
  AND message_identifier = :message_identifier AND serial_number & 65520 = :serial_number & 65520
  AND delivery_id <= :delivery_id
ORDER BY delivery_id DESC;

-- name: on_air
SELECT * FROM delivery INDEXED BY delivery_on_air
WHERE is_on_air = 1 AND peer_id = :peer_id ORDER BY delivery_id;

-- name: open_stops
SELECT * FROM delivery INDEXED BY delivery_open
WHERE state IN ('ready', 'intent', 'in_doubt') AND is_stop = 1 AND peer_id = :peer_id
ORDER BY delivery_id;

-- name: is_named_otherwise
SELECT count(*) FROM delivery
WHERE is_on_air = 1 AND peer_id = :peer_id AND peer_reference = :name AND peer_reference <> ''
  AND expires_ms > :at_ms AND NOT (
    incident_id = :incident_id AND region = :region AND message_identifier = :message_identifier
    AND serial_number & 65520 = :serial_number & 65520);

-- name: forget_name
UPDATE delivery SET peer_reference = ''
WHERE is_on_air = 1 AND peer_id = :peer_id AND peer_reference = :name AND peer_reference <> '';

-- name: deliveries
SELECT delivery.*, parts, states, asked_ms, on_air_question.state AS told, areas, problem
FROM delivery LEFT JOIN receipt_states USING (delivery_id)
  LEFT JOIN on_air_question USING (delivery_id)
ORDER BY delivery_id;

-- name: deliveries_of
SELECT delivery.*, parts, states, asked_ms, on_air_question.state AS told, areas, problem
FROM delivery LEFT JOIN receipt_states USING (delivery_id)
  LEFT JOIN on_air_question USING (delivery_id)
WHERE bulletin_id = :bulletin_id ORDER BY delivery_id;

-- name: in_state
SELECT * FROM delivery INDEXED BY delivery_open
WHERE state IN ('ready', 'intent', 'in_doubt') AND state = :state ORDER BY delivery_id;

-- name: in_flight
SELECT * FROM delivery INDEXED BY delivery_flight WHERE state = 'intent' ORDER BY delivery_id;

-- name: count_open
SELECT peer_id, state, count(*) FROM delivery INDEXED BY delivery_open
WHERE state IN ('ready', 'intent', 'in_doubt') GROUP BY peer_id, state;

-- name: past_expiry
SELECT * FROM delivery INDEXED BY delivery_open
WHERE state IN ('ready', 'intent', 'in_doubt') AND expires_ms <= :at_ms
  AND (state = 'ready' OR state = 'in_doubt' AND due_ms IS NOT NULL)
ORDER BY expires_ms, delivery_id LIMIT :limit;

-- name: add_taken_ids
INSERT INTO taken_ids (peer_id, delivery_id, parts, start, ids)
VALUES (:peer_id, :delivery_id, :parts, :start, :ids);

-- name: add_receipt_states
INSERT INTO receipt_states (delivery_id, parts, states)
VALUES (:delivery_id, :parts, zeroblob(:messages)) ON CONFLICT DO NOTHING;

-- name: taken_ids
SELECT * FROM taken_ids WHERE taken_number > :after ORDER BY taken_number LIMIT :limit;

-- name: taken_ids_before
SELECT coalesce(max(taken_number), 0) FROM (
  SELECT taken_number, sum(length(ids)) OVER (ORDER BY taken_number DESC) AS octets FROM taken_ids)
WHERE octets > :octets;

-- name: receipt_states
SELECT parts, states FROM receipt_states WHERE delivery_id = :delivery_id;

-- name: put_receipt_states
UPDATE receipt_states SET states = :states WHERE delivery_id = :delivery_id;

-- name: put_outcomes
UPDATE delivery SET outcomes = :outcomes WHERE delivery_id = :delivery_id;

-- name: ask_on_air
INSERT INTO on_air_question (delivery_id, peer_id, due_ms) VALUES (:delivery_id, :peer_id, :due_ms)
ON CONFLICT (delivery_id) DO UPDATE SET due_ms = excluded.due_ms;

-- name: due_on_air
SELECT delivery.* FROM on_air_question JOIN delivery USING (delivery_id)
WHERE on_air_question.peer_id = :peer_id AND on_air_question.due_ms <= :at_ms
ORDER BY on_air_question.due_ms LIMIT 1;

-- name: put_on_air
UPDATE on_air_question
SET due_ms = NULL, asked_ms = :asked_ms, state = :state, areas = :areas, problem = :problem
WHERE delivery_id = :delivery_id;

-- name: park_receipt
INSERT INTO parked_receipt
  (peer_id, received_ms, message_id, state, subscriber, originator, reference)
VALUES (:peer_id, :at_ms, :message_id, :state, :subscriber, :originator, :reference)
RETURNING receipt_number;

-- name: parked_receipts
SELECT * FROM parked_receipt ORDER BY receipt_number;

-- name: drop_parked_receipt
DELETE FROM parked_receipt WHERE receipt_number = :number;

-- name: add_message
INSERT INTO incoming_message
  (peer_id, received_ms, source, destination, body, part, parts, reference)
VALUES (:peer_id, :at_ms, :source, :destination, :body, :part, :parts, :reference);

-- name: messages
SELECT * FROM incoming_message ORDER BY message_number LIMIT :limit;

-- name: count_messages
SELECT count(*) FROM incoming_message;

-- name: drop_message
DELETE FROM incoming_message WHERE message_number = :number;

-- name: add_audit
INSERT INTO audit (leaf_index, subject, entry) VALUES (:leaf_index, :subject, :entry);

-- name: add_audit_node
INSERT INTO audit_node (level, node_index, hash) VALUES (:level, :node_index, :hash);

-- name: audit_node
SELECT hash FROM audit_node WHERE level = :level AND node_index = :node_index;

-- name: audit_size
SELECT coalesce(max(leaf_index) + 1, 0) FROM audit;

-- name: audit_entries
SELECT entry FROM audit WHERE leaf_index >= :start AND leaf_index < :end ORDER BY leaf_index;

-- name: audit_of_subject
SELECT entry FROM audit WHERE subject = :subject ORDER BY leaf_index;

-- name: audit_whole
SELECT entry FROM audit ORDER BY leaf_index;

-- name: count_bulletins
SELECT state, count(*) AS count FROM bulletin GROUP BY state;

-- name: answer
SELECT digest, status, body FROM answer WHERE holder = :holder AND name = :name;

-- name: put_answer
INSERT INTO answer (holder, name, digest, status, body, until_ms)
VALUES (:holder, :name, :digest, :status, :body, :until_ms);

-- name: forget_answers
-- A few at a time, so that no request waits for the leavings of a thousand others.
DELETE FROM answer WHERE (holder, name) IN
  (SELECT holder, name FROM answer WHERE until_ms < :at_ms ORDER BY until_ms LIMIT :limit);

-- name: raise_counter
INSERT INTO counter (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value);

-- name: alarm
SELECT * FROM alarm WHERE sender = :sender AND alarm_id = :alarm_id;

-- name: put_alarm
INSERT INTO alarm (sender, alarm_id, incident_id, cause, region, is_cleared, raised_ms)
VALUES (:sender, :alarm_id, :incident_id, :cause, :region, :is_cleared, :raised_ms)
ON CONFLICT (sender, alarm_id) DO UPDATE SET is_cleared = excluded.is_cleared;

-- name: incident_of_cause
-- The newest incident that the same sender's alarms of the same cause belong to.
SELECT incident_id FROM alarm WHERE sender = :sender AND cause = :cause
ORDER BY raised_ms DESC LIMIT 1;

-- name: count_alarms
SELECT count(*) AS count, coalesce(sum(is_cleared), 0) AS cleared
FROM alarm WHERE incident_id = :incident_id;

-- name: put_publication
INSERT INTO publication
  (sender, identifier, sent_ms, bulletin_id, content_hash, source_hash, octets)
VALUES (:sender, :identifier, :sent_ms, :bulletin_id, :content_hash, :source_hash, :octets);

-- name: publication
SELECT * FROM publication WHERE sender = :sender AND identifier = :identifier;

-- name: unpublished
-- went out, and nobody was given it as an alert yet
SELECT bulletin_id FROM bulletin AS b
WHERE state IN ('approved', 'live', 'superseded', 'expired', 'withdrawn')
  AND decided_by IS NOT NULL AND plan IS NOT NULL
  AND NOT EXISTS (
    SELECT 1 FROM publication AS p WHERE p.bulletin_id = b.bulletin_id
      AND p.content_hash = json_extract(b.submission, '$.content_hash'))
ORDER BY decided_ms, bulletin_id;

-- name: published
SELECT bulletin_id FROM bulletin AS b JOIN publication AS p USING (bulletin_id)
WHERE p.content_hash = json_extract(b.submission, '$.content_hash');

-- name: publications
SELECT * FROM publication
WHERE bulletin_id = :bulletin_id AND (:content_hash IS NULL OR content_hash = :content_hash)
ORDER BY sent_ms;

-- name: enquiries
SELECT * FROM incoming_message WHERE peer_id = :peer_id AND destination = :destination
ORDER BY message_number LIMIT :limit;

-- name: count_enquiries
SELECT count(*) FROM incoming_message WHERE peer_id = :peer_id AND destination = :destination;

-- name: recipient
SELECT region, number, language FROM recipient WHERE carrier = :carrier AND number = :number;

-- name: subscription
SELECT * FROM subscription WHERE peer_id = :peer_id AND name = :name;

-- name: put_subscription
INSERT INTO subscription (peer_id, name, sealed, regions, language, until_ms)
VALUES (:peer_id, :name, :sealed, :regions, :language, :until_ms)
ON CONFLICT (name, peer_id) DO UPDATE SET
  sealed = excluded.sealed, regions = excluded.regions, language = excluded.language,
  until_ms = excluded.until_ms;

-- name: drop_subscriptions
DELETE FROM subscription WHERE name = :name;

-- name: end_subscriptions
DELETE FROM subscription WHERE until_ms <= :at_ms;

-- name: subscriptions
SELECT * FROM subscription
WHERE peer_id = :peer_id AND subscription_number > :after AND subscription_number <= :up_to
ORDER BY subscription_number LIMIT :limit;

-- name: last_subscription
SELECT coalesce(max(subscription_number), 0) FROM subscription WHERE peer_id = :peer_id;

-- name: count_subscriptions
SELECT peer_id, regions, count(*) FROM subscription GROUP BY peer_id, regions;

-- name: undertold
SELECT bulletin_id FROM bulletin
WHERE state = 'live' AND NOT EXISTS (
  SELECT 1 FROM subscriber_round
  WHERE subscriber_round.bulletin_id = bulletin.bulletin_id AND peer_id = :peer_id)
ORDER BY decided_ms;

-- name: put_round
INSERT INTO subscriber_round
  (bulletin_id, peer_id, after, up_to, in_flight, told, refused, in_doubt)
VALUES (:bulletin_id, :peer_id, :after, :up_to, :in_flight, :told, :refused, :in_doubt)
ON CONFLICT (bulletin_id, peer_id) DO UPDATE SET
  after = excluded.after, up_to = excluded.up_to, in_flight = excluded.in_flight,
  told = excluded.told, refused = excluded.refused, in_doubt = excluded.in_doubt;

-- name: round
SELECT * FROM subscriber_round WHERE bulletin_id = :bulletin_id AND peer_id = :peer_id;

-- name: open_rounds
SELECT subscriber_round.* FROM subscriber_round JOIN bulletin USING (bulletin_id)
WHERE (after < up_to OR in_flight > 0) AND (:peer_id IS NULL OR peer_id = :peer_id)
ORDER BY decided_ms;

-- name: add_outage_report
INSERT INTO outage_report (hour_ms, peer_id, region, name)
VALUES (:hour_ms, :peer_id, :region, :name) ON CONFLICT DO NOTHING;

-- name: outage_reports
SELECT peer_id, region, hour_ms, count(*) FROM outage_report WHERE hour_ms >= :since_ms
GROUP BY peer_id, region, hour_ms ORDER BY hour_ms, peer_id, region;

-- name: forget_outage_reports
DELETE FROM outage_report WHERE hour_ms < :before_ms;

-- name: note_question
INSERT INTO question (body, source, asked, first_ms, last_ms)
VALUES (:body, :source, 1, :at_ms, :at_ms)
ON CONFLICT (body, source) DO UPDATE SET asked = asked + 1, last_ms = excluded.last_ms;

-- name: questions
SELECT * FROM question ORDER BY asked DESC, last_ms DESC, body LIMIT :limit;

-- name: forget_old_questions
DELETE FROM question WHERE last_ms < :before_ms;

-- name: forget_rare_questions
DELETE FROM question WHERE (body, source) IN (
  SELECT body, source FROM question ORDER BY asked DESC, last_ms DESC LIMIT -1 OFFSET :most);

-- name: add_total
INSERT INTO enquiry_total (peer_id, what, value) VALUES (:peer_id, :what, :count)
ON CONFLICT (peer_id, what) DO UPDATE SET value = value + excluded.value;

-- name: totals
SELECT peer_id, what, value FROM enquiry_total;
