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
INSERT INTO botwire_collections VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, 3, 2, 7, 10, 10, 180, 0);
INSERT INTO botwire_histories VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, 2, 1, 1, 1795669439526150, 1795669439538163, 108);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 1, '\x31'::bytea, '"a"', 1795669439526150);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 3, '\x33'::bytea, 'null', 1795669439526150);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, NULL, '"d"', 1795669439526150);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6279746573'::bytea, NULL, '\x00ff'::bytea, 2, 1795669439510361, 1795669439510361, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6b'::bytea,  E'{"a":[1,null,10000000000000000000000000000000000000000,"\\ud800"]}', NULL, 1, 1795669439502892, 1795669439502892, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e'::bytea, '41', NULL, 6, 1795669439524665, 1795669439524665, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x74746c'::bytea, '1', NULL, 3, 1795669439514246, 1795669439514246, 3372469439514246, 0);
INSERT INTO botwire_keys VALUES ('\x6f74686572'::bytea, '\x6b'::bytea, '"other''s"', NULL, 1, 1795669439570120, 1795669439570120, NULL, 0);
INSERT INTO botwire_namespaces VALUES ('\x6f6c642fc3a9eda080'::bytea, 10, 1795669439502892, 496, 8, 20783, 0);
INSERT INTO botwire_namespaces VALUES ('\x6f74686572'::bytea, 1, 1795669439570120, 42, 1, 20783, 0);
INSERT INTO botwire_records VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x416461206c696b657320677265656e20746561'::bytea, '{"year":2026}', '["drink"]', '\x2f70656f706c652f616461'::bytea, '\x0000803f000000000000003f'::bytea, 10, 1795669439542326, 1795669439542326);
INSERT INTO botwire_records VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x426f62206c696b657320636f66666565'::bytea, '{}', '[]', '\x2f70656f706c652f626f62'::bytea, '\x000000000000803f0000803e'::bytea, 10, 1795669439542326, 1795669439542326);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3038346530633063346666383435613762373363383566656238616230663631'::bytea, '{"results":[1]}', 1795669439502892);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3361333561363831663330383461613938343939353432306265616235663864'::bytea, '{"results":[1]}', 1795669439534193);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3434623537383230383139643434306262333737323731333561633235356165'::bytea, '{"results":[2]}', 1795669439510361);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3465656234653735373463363437376538366132376665306138363566393733'::bytea, '{"results":[41]}', 1795669439524665);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6137623562343436303265313466613562653736646133366537626334666135'::bytea, '{"results":[4]}', 1795669439518183);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6161353830376336373763393466663261356662333666393030643062656562'::bytea, '{"results":[[1,2,3,4]]}', 1795669439526150);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6230643430656533626632633466653661393364343330343365336565366632'::bytea, '{"results":[[10,10]]}', 1795669439542326);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6334636438616561666561333439306161383966343732623331393339363061'::bytea, '{"results":[1]}', 1795669439538163);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6565323937633563336464353431353238303939643837313735646262633663'::bytea, '{"results":[true]}', 1795669439522186);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6639626364366161373965613432613938336431393964656661326261383534'::bytea, '{"results":[3]}', 1795669439514246);
INSERT INTO botwire_requests VALUES ('\x6f74686572'::bytea, '\x6130666239313565313965373430653038323538313834333765336465306439'::bytea, '{"results":[1]}', 1795669439570120);
INSERT INTO botwire_schema VALUES (4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x616461'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x626f62'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x677265656e'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x6c696b6573'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x6c696b6573'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x746561'::bytea, 1, 4);
