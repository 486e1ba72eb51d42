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
INSERT INTO botwire_histories VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, 2, 1, 1, 1795667358127167, 1795667358131806, 108);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 1, '\x31'::bytea, '"a"', 1795667358127167);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 3, '\x33'::bytea, 'null', 1795667358127167);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, NULL, '"d"', 1795667358127167);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6279746573'::bytea, NULL, '\x00ff'::bytea, 2, 1795667358118035, 1795667358118035, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6b'::bytea,  E'{"a":[1,null,10000000000000000000000000000000000000000,"\\ud800"]}', NULL, 1, 1795667358113315, 1795667358113315, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e'::bytea, '41', NULL, 6, 1795667358124894, 1795667358124894, NULL, 0);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x74746c'::bytea, '1', NULL, 3, 1795667358119825, 1795667358119825, 3372467358119825, 0);
INSERT INTO botwire_keys VALUES ('\x6f74686572'::bytea, '\x6b'::bytea, '"other''s"', NULL, 1, 1795667358142191, 1795667358142191, NULL, 0);
INSERT INTO botwire_namespaces VALUES ('\x6f6c642fc3a9eda080'::bytea, 10, 1795667358113315, 496, 8, 20783);
INSERT INTO botwire_namespaces VALUES ('\x6f74686572'::bytea, 1, 1795667358142191, 42, 1, 20783);
INSERT INTO botwire_records VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x416461206c696b657320677265656e20746561'::bytea, '{"year":2026}', '["drink"]', '\x2f70656f706c652f616461'::bytea, '\x0000803f000000000000003f'::bytea, 10, 1795667358134038, 1795667358134038);
INSERT INTO botwire_records VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x426f62206c696b657320636f66666565'::bytea, '{}', '[]', '\x2f70656f706c652f626f62'::bytea, '\x000000000000803f0000803e'::bytea, 10, 1795667358134038, 1795667358134038);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3066356630323266313163303430613538353262663665663166356666633966'::bytea, '{"results":[[10,10]]}', 1795667358134038);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3134363834346662623362373431306662333437653737623761326162383664'::bytea, '{"results":[3]}', 1795667358119825);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3139356161666266623033383431373038346332386665336432393563383466'::bytea, '{"results":[1]}', 1795667358113315);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3338396533346434636439633432353838303933393636363034386366326637'::bytea, '{"results":[2]}', 1795667358118035);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3537633363303163363231353433643461363634386238343832333737303436'::bytea, '{"results":[41]}', 1795667358124894);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3836323664336461643562663433663161356130303937323566313438306439'::bytea, '{"results":[4]}', 1795667358121446);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3934313538396538623838313432613738313865306564326536383664316638'::bytea, '{"results":[[1,2,3,4]]}', 1795667358127167);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6263343034313666346665363430383461396432636534316231616362396565'::bytea, '{"results":[1]}', 1795667358129622);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6337303066366336323539393430646338303565613637626233613132313333'::bytea, '{"results":[true]}', 1795667358123177);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6339626532393832313333623432376462343864643863643336363038336436'::bytea, '{"results":[1]}', 1795667358131806);
INSERT INTO botwire_requests VALUES ('\x6f74686572'::bytea, '\x3766626338316634386339623439633661386562383531633364373265303161'::bytea, '{"results":[1]}', 1795667358142191);
INSERT INTO botwire_schema VALUES (2);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x616461'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x626f62'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x677265656e'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x6c696b6573'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x6c696b6573'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x746561'::bytea, 1, 4);
