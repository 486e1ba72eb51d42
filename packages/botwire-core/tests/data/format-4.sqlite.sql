PRAGMA application_id=1113018949;
PRAGMA user_version=4;
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
INSERT INTO "botwire_changes" VALUES(X'6F74686572',1,'key','put',X'6B');
CREATE TABLE botwire_collections (
        namespace BLOB NOT NULL,
        collection BLOB NOT NULL,
        dimension BIGINT,
        size BIGINT NOT NULL,
        words BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        removed BIGINT NOT NULL, bytes BIGINT NOT NULL DEFAULT 0, indexed BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, collection)
    ) WITHOUT ROWID;
INSERT INTO "botwire_collections" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',3,2,7,10,10,180,0);
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
INSERT INTO "botwire_histories" VALUES(X'6F6C642FC3A9EDA080',X'63686174',4,2,1,1,1795669434646122,1795669434654057,108);
CREATE TABLE botwire_items (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL,
        seq BIGINT NOT NULL,
        id BLOB,
        value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, seq)
    );
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',1,X'31','"a"',1795669434646122);
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',3,X'33','null',1795669434646122);
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',4,NULL,'"d"',1795669434646122);
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
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6B','{"a":[1,null,10000000000000000000000000000000000000000,"\ud800"]}',NULL,1,1795669434628156,1795669434628156,NULL,0);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6279746573',NULL,X'00FF',2,1795669434634039,1795669434634039,NULL,0);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'74746C','1',NULL,3,1795669434634514,1795669434634514,3372469434634514,0);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6E','41',NULL,6,1795669434642038,1795669434642038,NULL,0);
INSERT INTO "botwire_keys" VALUES(X'6F74686572',X'6B','"other''s"',NULL,1,1795669434662122,1795669434662122,NULL,0);
CREATE TABLE botwire_namespaces (
        namespace BLOB NOT NULL,
        revision BIGINT NOT NULL,
        created_at BIGINT NOT NULL, bytes BIGINT NOT NULL DEFAULT 0, writes BIGINT NOT NULL DEFAULT 0, day BIGINT NOT NULL DEFAULT 0, day_began BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace)
    ) WITHOUT ROWID;
INSERT INTO "botwire_namespaces" VALUES(X'6F6C642FC3A9EDA080',10,1795669434628156,496,8,20783,0);
INSERT INTO "botwire_namespaces" VALUES(X'6F74686572',1,1795669434662122,42,1,20783,0);
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
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'746561',X'416461206C696B657320677265656E20746561','{"year":2026}','["drink"]',X'2F70656F706C652F616461',X'0000803F000000000000003F',10,1795669434658203,1795669434658203);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'636F66666565',X'426F62206C696B657320636F66666565','{}','[]',X'2F70656F706C652F626F62',X'000000000000803F0000803E',10,1795669434658203,1795669434658203);
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
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'616461',X'746561',1,4);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'626F62',X'636F66666565',1,3);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'636F66666565',X'636F66666565',1,3);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'677265656E',X'746561',1,4);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'6C696B6573',X'636F66666565',1,3);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'6C696B6573',X'746561',1,4);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'746561',X'746561',1,4);
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
COMMIT;
