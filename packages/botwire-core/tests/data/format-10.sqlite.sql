PRAGMA application_id=1113018949;
PRAGMA user_version=10;
BEGIN TRANSACTION;
CREATE TABLE botwire_changes (
        namespace BLOB NOT NULL,
        revision BIGINT NOT NULL,
        shape TEXT NOT NULL,
        action TEXT NOT NULL,
        name BLOB NOT NULL,
        PRIMARY KEY (namespace, revision)
    ) WITHOUT ROWID;
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',1,'key','put',X'6B');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',2,'key','put',X'6279746573');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',3,'key','put',X'74746C');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',4,'key','put',X'676F6E65');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',5,'key','delete',X'676F6E65');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',6,'key','put',X'6E');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',7,'history','append',X'63686174');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',8,'history','delete',X'63686174');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',9,'history','archive',X'63686174');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',10,'record','put',X'6E6F746573');
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',11,'record','put',X'776F726473');
INSERT INTO "botwire_changes" VALUES(X'6F74686572',1,'key','put',X'6B');
CREATE TABLE botwire_collections (
        namespace BLOB NOT NULL,
        collection BLOB NOT NULL,
        dimension BIGINT,
        size BIGINT NOT NULL,
        words BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        removed BIGINT NOT NULL, bytes BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, collection)
    ) WITHOUT ROWID;
INSERT INTO "botwire_collections" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',3,2,4,10,10,140);
INSERT INTO "botwire_collections" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',NULL,3,29,11,11,177);
CREATE TABLE botwire_histories (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL,
        last_seq BIGINT NOT NULL,
        size BIGINT NOT NULL,
        archived BIGINT NOT NULL,
        archived_seq BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL, bytes BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, history)
    ) WITHOUT ROWID;
INSERT INTO "botwire_histories" VALUES(X'6F6C642FC3A9EDA080',X'63686174',4,2,1,1,1795923594340227,1795923594341711,108);
CREATE TABLE botwire_items (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL,
        seq BIGINT NOT NULL,
        id BLOB,
        value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, seq)
    );
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',1,X'31','"a"',1795923594340227);
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',3,X'33','null',1795923594340227);
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',4,NULL,'"d"',1795923594340227);
CREATE TABLE botwire_keys (
        namespace BLOB NOT NULL,
        key BLOB NOT NULL,
        value_json TEXT,
        value_bytes BLOB,
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        expires_at BIGINT, replaced BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, key)
    );
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6B','{"a":[1,null,10000000000000000000000000000000000000000,"\ud800"]}',NULL,1,1795923594335972,1795923594335972,NULL,0);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6279746573',NULL,X'00FF',2,1795923594337037,1795923594337037,NULL,0);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'74746C','1',NULL,3,1795923594337758,1795923594337758,3372723594337758,0);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6E','41',NULL,6,1795923594339607,1795923594339607,NULL,0);
INSERT INTO "botwire_keys" VALUES(X'6F74686572',X'6B','"other''s"',NULL,1,1795923594345096,1795923594345096,NULL,0);
CREATE TABLE botwire_namespaces (
        namespace BLOB NOT NULL,
        revision BIGINT NOT NULL,
        created_at BIGINT NOT NULL, bytes BIGINT NOT NULL DEFAULT 0, writes BIGINT NOT NULL DEFAULT 0, day BIGINT NOT NULL DEFAULT 0, day_began BIGINT NOT NULL DEFAULT 0, largest BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace)
    ) WITHOUT ROWID;
INSERT INTO "botwire_namespaces" VALUES(X'6F6C642FC3A9EDA080',11,1795923594335972,633,9,20786,0,98);
INSERT INTO "botwire_namespaces" VALUES(X'6F74686572',1,1795923594345096,42,1,20786,0,42);
CREATE TABLE botwire_records (
        namespace BLOB NOT NULL,
        collection BLOB NOT NULL,
        id BLOB NOT NULL,
        text BLOB NOT NULL,
        metadata TEXT NOT NULL,
        tags TEXT NOT NULL,
        scope BLOB NOT NULL,
        embedding BLOB,
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, id)
    );
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'746561',X'677265656E20746561','{}','["drink"]',X'2F',X'0000803F0000000000000000',10,1795923594342656,1795923594342656);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'636F66666565',X'626C61636B20636F66666565','{"a":1}','[]',X'2F',X'000000000000803F00000000',10,1795923594342656,1795923594342656);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'636174',X'E7A781E381AFE78CABE3818CE5A5BDE3818DE381A7E38199','{}','[]',X'2F',NULL,11,1795923594343960,1795923594343960);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'746561',X'677265656E20746561','{}','[]',X'2F',NULL,11,1795923594343960,1795923594343960);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'73656F756C',X'EC849CEC9AB8EC9790EC849C20EBA78CEB8298EC9A94','{}','[]',X'2F',NULL,11,1795923594343960,1795923594343960);
CREATE TABLE botwire_requests (
        namespace BLOB NOT NULL,
        id BLOB NOT NULL,
        results TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, id)
    );
CREATE TABLE botwire_words (
        namespace BLOB NOT NULL,
        collection BLOB NOT NULL,
        word BLOB NOT NULL,
        id BLOB NOT NULL,
        times BIGINT NOT NULL,
        among BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, word, id)
    ) WITHOUT ROWID;
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'626C61636B',X'636F66666565',1,2);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'636F66666565',X'636F66666565',1,2);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'677265656E',X'746561',1,2);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'746561',X'746561',1,2);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'677265656E',X'746561',1,2);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'746561',X'746561',1,2);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E3818B',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E3818BE5A5BD',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E3818D',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E3818DE381A6',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E38199',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E381A6',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E381A6E38199',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E381AF',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E381AFE78CAB',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E5A5BD',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E5A5BDE3818D',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E78CAB',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E78CABE3818B',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E7A781',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E7A781E381AF',X'636174',1,15);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EB8298',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EB8298EC9A94',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EBA78C',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EBA78CEB8298',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC849C',X'73656F756C',2,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC849CEC9AB8',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9790',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9790EC849C',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9A94',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9AB8',X'73656F756C',1,12);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9AB8EC9790',X'73656F756C',1,12);
CREATE INDEX botwire_keys_expiry ON botwire_keys (expires_at, namespace)
        WHERE expires_at IS NOT NULL;
CREATE UNIQUE INDEX botwire_items_id ON botwire_items (namespace, history, id)
        WHERE id IS NOT NULL;
CREATE INDEX botwire_records_version
        ON botwire_records (namespace, collection, version);
CREATE INDEX botwire_records_age
        ON botwire_records (namespace, collection, created_at, id);
CREATE INDEX botwire_records_scope
        ON botwire_records (namespace, collection, scope, created_at);
CREATE INDEX botwire_requests_age ON botwire_requests (created_at, namespace);
CREATE INDEX botwire_namespaces_day ON botwire_namespaces (day, namespace)
        WHERE day > 0;
ALTER TABLE botwire_histories ADD COLUMN metadata TEXT;
ALTER TABLE botwire_histories ADD COLUMN metadata_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_histories ADD COLUMN expires_at BIGINT;
ALTER TABLE botwire_histories ADD COLUMN dead_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_histories ADD COLUMN dead BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_items ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX botwire_histories_updated ON botwire_histories (namespace, updated_at, history);
CREATE INDEX botwire_histories_expiry ON botwire_histories (expires_at, namespace) WHERE expires_at IS NOT NULL;
CREATE INDEX botwire_histories_dead ON botwire_histories (namespace, history) WHERE dead > 0;
UPDATE botwire_histories SET metadata = '{"title":"t"}', metadata_version = 11, bytes = bytes + 13;
UPDATE botwire_items SET version = 8 WHERE seq = 4;
UPDATE botwire_namespaces SET bytes = bytes + 13 WHERE bytes > 200;
ALTER TABLE botwire_histories ADD COLUMN base TEXT;
ALTER TABLE botwire_histories ADD COLUMN forks BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_histories ADD COLUMN forked_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_histories ADD COLUMN forked_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE botwire_histories ADD COLUMN past BIGINT NOT NULL DEFAULT 0;
DROP INDEX botwire_histories_dead;
CREATE INDEX botwire_histories_unswept ON botwire_histories (namespace, history) WHERE dead > 0 OR (past > 0 AND forks = 0);
CREATE TABLE botwire_past_items (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL,
        seq BIGINT NOT NULL,
        until BIGINT NOT NULL,
        id BLOB,
        value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        version BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, seq, until)
    );
INSERT INTO botwire_histories SELECT namespace, X'666F726B', last_seq, size, archived, archived_seq, created_at, updated_at, 0, NULL, 0, NULL, 0, 0, '[["chat", 0, 4, 12]]', 0, 0, 0, 0 FROM botwire_histories WHERE namespace = X'6F6C642FC3A9EDA080' AND history = X'63686174';
UPDATE botwire_histories SET forks = 1, forked_seq = 4, forked_version = 12 WHERE namespace = X'6F6C642FC3A9EDA080' AND history = X'63686174';
INSERT INTO botwire_changes VALUES (X'6F6C642FC3A9EDA080', 12, 'history', 'fork', X'666F726B');
UPDATE botwire_namespaces SET revision = 12 WHERE namespace = X'6F6C642FC3A9EDA080';
ALTER TABLE botwire_records ADD COLUMN expires_at BIGINT;
ALTER TABLE botwire_collections ADD COLUMN expiring BIGINT NOT NULL DEFAULT 0;
CREATE INDEX botwire_records_expiry ON botwire_records (expires_at, namespace) WHERE expires_at IS NOT NULL;
CREATE INDEX botwire_records_expiring ON botwire_records (namespace, collection, expires_at) WHERE expires_at IS NOT NULL;
COMMIT;
