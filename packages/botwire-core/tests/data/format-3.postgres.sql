CREATE TABLE botwire_namespaces (
        namespace BYTEA NOT NULL,
        revision BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace)
    );
CREATE TABLE botwire_keys (
        namespace BYTEA NOT NULL,
        key BYTEA NOT NULL,
        value_json TEXT,
        value_bytes BYTEA,
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        expires_at BIGINT,
        PRIMARY KEY (namespace, key)
    );
CREATE INDEX botwire_keys_expiry ON botwire_keys (expires_at, namespace)
        WHERE expires_at IS NOT NULL;
CREATE TABLE botwire_histories (
        namespace BYTEA NOT NULL,
        history BYTEA NOT NULL,
        last_seq BIGINT NOT NULL,
        size BIGINT NOT NULL,
        archived BIGINT NOT NULL,
        archived_seq BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, history)
    );
CREATE TABLE botwire_items (
        namespace BYTEA NOT NULL,
        history BYTEA NOT NULL,
        seq BIGINT NOT NULL,
        id BYTEA,
        value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, seq)
    );
CREATE UNIQUE INDEX botwire_items_id ON botwire_items (namespace, history, id)
        WHERE id IS NOT NULL;
CREATE TABLE botwire_collections (
        namespace BYTEA NOT NULL,
        collection BYTEA NOT NULL,
        dimension BIGINT,
        size BIGINT NOT NULL,
        words BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        removed BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection)
    );
CREATE TABLE botwire_records (
        namespace BYTEA NOT NULL,
        collection BYTEA NOT NULL,
        id BYTEA NOT NULL,
        text BYTEA NOT NULL,
        metadata TEXT NOT NULL,
        tags TEXT NOT NULL,
        scope BYTEA NOT NULL,
        embedding BYTEA,
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, id)
    );
CREATE INDEX botwire_records_version
        ON botwire_records (namespace, collection, version);
CREATE INDEX botwire_records_age
        ON botwire_records (namespace, collection, created_at, id);
CREATE INDEX botwire_records_scope
        ON botwire_records (namespace, collection, scope, created_at);
CREATE TABLE botwire_words (
        namespace BYTEA NOT NULL,
        collection BYTEA NOT NULL,
        word BYTEA NOT NULL,
        id BYTEA NOT NULL,
        times BIGINT NOT NULL,
        among BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, word, id)
    );
CREATE TABLE botwire_changes (
        namespace BYTEA NOT NULL,
        revision BIGINT NOT NULL,
        shape TEXT NOT NULL,
        action TEXT NOT NULL,
        name BYTEA NOT NULL,
        PRIMARY KEY (namespace, revision)
    );
CREATE TABLE botwire_requests (
        namespace BYTEA NOT NULL,
        id BYTEA NOT NULL,
        results TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, id)
    );
CREATE INDEX botwire_requests_age ON botwire_requests (created_at, namespace);
ALTER TABLE botwire_namespaces ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_namespaces ADD COLUMN writes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_namespaces ADD COLUMN day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_keys ADD COLUMN replaced BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_histories ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_collections ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_namespaces ADD COLUMN day_began BIGINT NOT NULL DEFAULT 0;
UPDATE botwire_namespaces SET day = 1 WHERE day = 0;
CREATE INDEX botwire_namespaces_day ON botwire_namespaces (day, namespace)
        WHERE day > 0;
CREATE TABLE botwire_schema (version BIGINT PRIMARY KEY);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 1, 'key', 'put', '\x6b'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 2, 'key', 'put', '\x6279746573'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 3, 'key', 'put', '\x74746c'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 4, 'key', 'put', '\x676f6e65'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 5, 'key', 'delete', '\x676f6e65'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 6, 'key', 'put', '\x6e'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 7, 'history', 'append', '\x63686174'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 8, 'history', 'delete', '\x63686174'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 9, 'history', 'archive', '\x63686174'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f6c642fc3a9eda080'::bytea, 10, 'record', 'put', '\x6e6f746573'::bytea);
INSERT INTO botwire_changes VALUES ('\x6f74686572'::bytea, 1, 'key', 'put', '\x6b'::bytea);
INSERT INTO botwire_collections VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, 3, 2, 7, 10, 10, 180);
INSERT INTO botwire_histories VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, 2, 1, 1, 1795668291322763, 1795668291326384, 108);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 1, '\x31'::bytea, '"a"', 1795668291322763);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 3, '\x33'::bytea, 'null', 1795668291322763);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, NULL, '"d"', 1795668291322763);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6279746573'::bytea, NULL, '\x00ff'::bytea, 2, 1795668291316405, 1795668291316405, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6b'::bytea,  E'{"a":[1,null,10000000000000000000000000000000000000000,"\\ud800"]}', NULL, 1, 1795668291312513, 1795668291312513, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e'::bytea, '41', NULL, 6, 1795668291321418, 1795668291321418, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x74746c'::bytea, '1', NULL, 3, 1795668291317649, 1795668291317649, 3372468291317649, 0);
INSERT INTO botwire_keys VALUES ('\x6f74686572'::bytea, '\x6b'::bytea, '"other''s"', NULL, 1, 1795668291330551, 1795668291330551, NULL, 0);
INSERT INTO botwire_namespaces VALUES ('\x6f6c642fc3a9eda080'::bytea, 10, 1795668291312513, 496, 8, 20783, 0);
INSERT INTO botwire_namespaces VALUES ('\x6f74686572'::bytea, 1, 1795668291330551, 42, 1, 20783, 0);
INSERT INTO botwire_records VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x416461206c696b657320677265656e20746561'::bytea, '{"year":2026}', '["drink"]', '\x2f70656f706c652f616461'::bytea, '\x0000803f0000000000000000'::bytea, 10, 1795668291327871, 1795668291327871);
INSERT INTO botwire_records VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x426f62206c696b657320636f66666565'::bytea, '{}', '[]', '\x2f70656f706c652f626f62'::bytea, '\x000000000000803f00000000'::bytea, 10, 1795668291327871, 1795668291327871);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3138656662363462663262303438313261613439623037363663393861346438'::bytea, '{"results":[6]}', 1795668291321418);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3161383362333930313835613432386638653337613938626635643833386166'::bytea, '{"results":[2]}', 1795668291316405);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3333386239386539346565323434663062333861326538346136646135383065'::bytea, '{"results":[4]}', 1795668291319018);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3334346566666631393139623462353461626234306133313939396463623033'::bytea, '{"results":[3]}', 1795668291317649);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3337613135376166623130613436643438666264326363306237336532323463'::bytea, '{"results":[1]}', 1795668291326384);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3437323061333461356438613465306462306534303135373232373764323533'::bytea, '{"results":[true]}', 1795668291320237);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3531346137646535623062393437626262353430343264376237383436623561'::bytea, '{"results":[1]}', 1795668291312513);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3537633066326266326434663434306339363165323432613434346533333864'::bytea, '{"results":[[1,2,3,4]]}', 1795668291322763);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3730633634623137346231623436656161613865366432336638313530336161'::bytea, '{"results":[1]}', 1795668291324929);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3962333962386461396136373439663138306231353564613131613834396430'::bytea, '{"results":[[10,10]]}', 1795668291327871);
INSERT INTO botwire_requests VALUES ('\x6f74686572'::bytea, '\x3163386636656331353432643462316562303366636465346338616565353066'::bytea, '{"results":[1]}', 1795668291330551);
INSERT INTO botwire_schema VALUES (3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x616461'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x626f62'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x677265656e'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x6c696b6573'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x6c696b6573'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x746561'::bytea, 1, 4);
