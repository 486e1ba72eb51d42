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
ALTER TABLE botwire_collections ADD COLUMN indexed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX botwire_collections_unindexed ON botwire_collections (namespace, collection)
        WHERE indexed <> 1;
CREATE TABLE botwire_schema (version BIGINT PRIMARY KEY);
ALTER TABLE botwire_namespaces ADD COLUMN largest BIGINT NOT NULL DEFAULT 0;
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 1, 'key', 'put', '\x6b'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 2, 'key', 'put', '\x6279746573'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 3, 'key', 'put', '\x74746c'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 4, 'key', 'put', '\x676f6e65'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 5, 'key', 'delete', '\x676f6e65'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 6, 'key', 'put', '\x6e'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 7, 'history', 'append', '\x63686174'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 8, 'history', 'delete', '\x63686174'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 9, 'history', 'archive', '\x63686174'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 10, 'record', 'put', '\x6e6f746573'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f6c642fc3a9eda080'::bytea, 11, 'record', 'put', '\x776f726473'::bytea);
INSERT INTO botwire_changes (namespace, revision, shape, action, name) VALUES ('\x6f74686572'::bytea, 1, 'key', 'put', '\x6b'::bytea);
INSERT INTO botwire_collections (namespace, collection, dimension, size, words, revision, removed, bytes, indexed) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, 3, 2, 4, 10, 10, 140, 0);
INSERT INTO botwire_collections (namespace, collection, dimension, size, words, revision, removed, bytes, indexed) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, NULL, 3, 11, 11, 11, 177, 0);
INSERT INTO botwire_histories (namespace, history, last_seq, size, archived, archived_seq, created_at, updated_at, bytes) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, 2, 1, 1, 1795923595943912, 1795923595951724, 108);
INSERT INTO botwire_items (namespace, history, seq, id, value_json, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 1, '\x31'::bytea, '"a"', 1795923595943912);
INSERT INTO botwire_items (namespace, history, seq, id, value_json, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 3, '\x33'::bytea, 'null', 1795923595943912);
INSERT INTO botwire_items (namespace, history, seq, id, value_json, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, NULL, '"d"', 1795923595943912);
INSERT INTO botwire_keys (namespace, key, value_json, value_bytes, version, created_at, updated_at, expires_at, replaced) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6b'::bytea,  E'{"a":[1,null,10000000000000000000000000000000000000000,"\\ud800"]}', NULL, 1, 1795923595926073, 1795923595926073, NULL, 0);
INSERT INTO botwire_keys (namespace, key, value_json, value_bytes, version, created_at, updated_at, expires_at, replaced) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6279746573'::bytea, NULL, '\x00ff'::bytea, 2, 1795923595932935, 1795923595932935, NULL, 0);
INSERT INTO botwire_keys (namespace, key, value_json, value_bytes, version, created_at, updated_at, expires_at, replaced) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x74746c'::bytea, '1', NULL, 3, 1795923595935114, 1795923595935114, 3372723595935114, 0);
INSERT INTO botwire_keys (namespace, key, value_json, value_bytes, version, created_at, updated_at, expires_at, replaced) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e'::bytea, '41', NULL, 6, 1795923595941643, 1795923595941643, NULL, 0);
INSERT INTO botwire_keys (namespace, key, value_json, value_bytes, version, created_at, updated_at, expires_at, replaced) VALUES ('\x6f74686572'::bytea, '\x6b'::bytea, '"other''s"', NULL, 1, 1795923595963286, 1795923595963286, NULL, 0);
INSERT INTO botwire_namespaces (namespace, revision, created_at, bytes, writes, day, day_began, largest) VALUES ('\x6f6c642fc3a9eda080'::bytea, 11, 1795923595926073, 633, 9, 20786, 0, 98);
INSERT INTO botwire_namespaces (namespace, revision, created_at, bytes, writes, day, day_began, largest) VALUES ('\x6f74686572'::bytea, 1, 1795923595963286, 42, 1, 20786, 0, 42);
INSERT INTO botwire_records (namespace, collection, id, text, metadata, tags, scope, embedding, version, created_at, updated_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x677265656e20746561'::bytea, '{}', '["drink"]', '\x2f'::bytea, '\x0000803f0000000000000000'::bytea, 10, 1795923595954764, 1795923595954764);
INSERT INTO botwire_records (namespace, collection, id, text, metadata, tags, scope, embedding, version, created_at, updated_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x626c61636b20636f66666565'::bytea, '{"a":1}', '[]', '\x2f'::bytea, '\x000000000000803f00000000'::bytea, 10, 1795923595954764, 1795923595954764);
INSERT INTO botwire_records (namespace, collection, id, text, metadata, tags, scope, embedding, version, created_at, updated_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\x636174'::bytea, '\xe7a781e381afe78cabe3818ce5a5bde3818de381a7e38199'::bytea, '{}', '[]', '\x2f'::bytea, NULL, 11, 1795923595959163, 1795923595959163);
INSERT INTO botwire_records (namespace, collection, id, text, metadata, tags, scope, embedding, version, created_at, updated_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\x746561'::bytea, '\x677265656e20746561'::bytea, '{}', '[]', '\x2f'::bytea, NULL, 11, 1795923595959163, 1795923595959163);
INSERT INTO botwire_records (namespace, collection, id, text, metadata, tags, scope, embedding, version, created_at, updated_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\x73656f756c'::bytea, '\xec849cec9ab8ec9790ec849c20eba78ceb8298ec9a94'::bytea, '{}', '[]', '\x2f'::bytea, NULL, 11, 1795923595959163, 1795923595959163);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6233346465643331663466633438623562623761343463663661616438623333'::bytea, '{"results":[1]}', 1795923595926073);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6665313563303134343135663435626538616566336361663536383637626561'::bytea, '{"results":[2]}', 1795923595932935);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3935343162656235393965363434633939373164633338646637343933663066'::bytea, '{"results":[3]}', 1795923595935114);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3836653231346565636235323431646661663466323433656630646537326331'::bytea, '{"results":[4]}', 1795923595937510);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3733356139376231633362303430653138376430316436353562643464303631'::bytea, '{"results":[true]}', 1795923595939516);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3333633237333335643163343433653062613731333331656136636630333439'::bytea, '{"results":[6]}', 1795923595941643);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6164653163613863626264323430666662343537313861346336633665656332'::bytea, '{"results":[[1,2,3,4]]}', 1795923595943912);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3036386461626565633661343431373761313130376632343739613734646664'::bytea, '{"results":[1]}', 1795923595947693);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6533373866363534353730323433326261333935303431363034666166376431'::bytea, '{"results":[1]}', 1795923595951724);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3433366236373263313534373436376538613838623332333966666432383732'::bytea, '{"results":[[10,10]]}', 1795923595954764);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6233376530306333313736373431356539346564626339396335616362336537'::bytea, '{"results":[[11,11,11]]}', 1795923595959163);
INSERT INTO botwire_requests (namespace, id, results, created_at) VALUES ('\x6f74686572'::bytea, '\x6534306264303733663663663432363662336337356561356561396661313234'::bytea, '{"results":[1]}', 1795923595963286);
INSERT INTO botwire_schema (version) VALUES (5);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x626c61636b'::bytea, '\x636f66666565'::bytea, 1, 2);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x636f66666565'::bytea, 1, 2);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x677265656e'::bytea, '\x746561'::bytea, 1, 2);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x746561'::bytea, 1, 2);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\x677265656e'::bytea, '\x746561'::bytea, 1, 2);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\x746561'::bytea, '\x746561'::bytea, 1, 2);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe18486e185a1e186abe18482e185a1e1848be185ad'::bytea, '\x73656f756c'::bytea, 1, 2);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe18489e185a5e1848be185aee186afe1848be185a6e18489e185a5'::bytea, '\x73656f756c'::bytea, 1, 2);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe3818be5a5bd'::bytea, '\x636174'::bytea, 1, 7);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe3818de381a6'::bytea, '\x636174'::bytea, 1, 7);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe381a6e38199'::bytea, '\x636174'::bytea, 1, 7);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe381afe78cab'::bytea, '\x636174'::bytea, 1, 7);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe5a5bde3818d'::bytea, '\x636174'::bytea, 1, 7);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe78cabe3818b'::bytea, '\x636174'::bytea, 1, 7);
INSERT INTO botwire_words (namespace, collection, word, id, times, among) VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x776f726473'::bytea, '\xe7a781e381af'::bytea, '\x636174'::bytea, 1, 7);
