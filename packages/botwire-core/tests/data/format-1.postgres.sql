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
INSERT INTO botwire_collections VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, 3, 2, 7, 10, 0);
INSERT INTO botwire_histories VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, 2, 1, 1, 1795655963010265, 1795655963038389);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 1, '\x31'::bytea, '"a"', 1795655963010265);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 3, '\x33'::bytea, 'null', 1795655963010265);
INSERT INTO botwire_items VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x63686174'::bytea, 4, NULL, '"d"', 1795655963010265);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6279746573'::bytea, NULL, '\x00ff'::bytea, 2, 1795655962962317, 1795655962962317, NULL);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6b'::bytea,  E'{"a":[1,null,10000000000000000000000000000000000000000,"\\ud800"]}', NULL, 1, 1795655962950281, 1795655962950281, NULL);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e'::bytea, '41', NULL, 6, 1795655962998213, 1795655962998213, NULL);
INSERT INTO botwire_keys VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x74746c'::bytea, '1', NULL, 3, 1795655962970271, 1795655962970271, 3372455962970271);
INSERT INTO botwire_keys VALUES ('\x6f74686572'::bytea, '\x6b'::bytea, '"other''s"', NULL, 1, 1795655963081180, 1795655963081180, NULL);
INSERT INTO botwire_namespaces VALUES ('\x6f6c642fc3a9eda080'::bytea, 10, 1795655962950281);
INSERT INTO botwire_namespaces VALUES ('\x6f74686572'::bytea, 1, 1795655963081180);
INSERT INTO botwire_records VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x416461206c696b657320677265656e20746561'::bytea, '{"year":2026}', '["drink"]', '\x2f70656f706c652f616461'::bytea, '\x0000803f000000000000003f'::bytea, 10, 1795655963058404, 1795655963058404);
INSERT INTO botwire_records VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x426f62206c696b657320636f66666565'::bytea, '{}', '[]', '\x2f70656f706c652f626f62'::bytea, '\x000000000000803f0000803e'::bytea, 10, 1795655963058404, 1795655963058404);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3161363262393936313630333432376562306565623537323538346337336438'::bytea, '{"results":[1]}', 1795655963029088);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3230633234356665383165643433643861373235643932383036316532396431'::bytea, '{"results":[[10,10]]}', 1795655963058404);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3362656266613936613839303434613538363262313165333736376236663331'::bytea, '{"results":[4]}', 1795655962982321);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3439333933643361633766323465333061316661623962656637653339336163'::bytea, '{"results":[41]}', 1795655962998213);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3536613333656166343161643433613061333238326230336239626631656339'::bytea, '{"results":[1]}', 1795655963038389);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3563343638383461333361373439666139616636326566633866333532396136'::bytea, '{"results":[3]}', 1795655962970271);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3639393630303166303665653462616461376437623266636132656139623532'::bytea, '{"results":[1]}', 1795655962950281);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3666663632323064626262323435663462646631343532623130623833643365'::bytea, '{"results":[[1,2,3,4]]}', 1795655963010265);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x3963366530636432353065333436626262643065656238373438366562393933'::bytea, '{"results":[2]}', 1795655962962317);
INSERT INTO botwire_requests VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6363396335353834303461663466616461333437616331373036346336316564'::bytea, '{"results":[true]}', 1795655962986171);
INSERT INTO botwire_requests VALUES ('\x6f74686572'::bytea, '\x3762623539636533343764313439353338623963363938373130653635643335'::bytea, '{"results":[1]}', 1795655963081180);
INSERT INTO botwire_schema VALUES (1);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x616461'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x626f62'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x636f66666565'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x677265656e'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x6c696b6573'::bytea, '\x636f66666565'::bytea, 1, 3);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x6c696b6573'::bytea, '\x746561'::bytea, 1, 4);
INSERT INTO botwire_words VALUES ('\x6f6c642fc3a9eda080'::bytea, '\x6e6f746573'::bytea, '\x746561'::bytea, '\x746561'::bytea, 1, 4);
