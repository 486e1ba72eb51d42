PRAGMA application_id=1113018949;
PRAGMA user_version=12;
BEGIN TRANSACTION;
CREATE TABLE botwire_changes (
        namespace BLOB NOT NULL,
        revision BIGINT NOT NULL,
        shape TEXT NOT NULL,
        action TEXT NOT NULL,
        name BLOB NOT NULL, author TEXT, changed_at BIGINT,
        PRIMARY KEY (namespace, revision)
    ) WITHOUT ROWID;
INSERT INTO "botwire_changes" VALUES(X'6B657074',1,'key','put',X'6B',NULL,1795998703598532);
INSERT INTO "botwire_changes" VALUES(X'6B657074',2,'key','put',X'6B',NULL,1795998703600069);
INSERT INTO "botwire_changes" VALUES(X'6B657074',3,'history','append',X'63686174',NULL,1795998703600908);
INSERT INTO "botwire_changes" VALUES(X'6B657074',4,'history','metadata',X'63686174',NULL,1795998703602012);
INSERT INTO "botwire_changes" VALUES(X'6B657074',5,'history','update',X'63686174',NULL,1795998703603182);
INSERT INTO "botwire_changes" VALUES(X'6B657074',6,'history','metadata',X'63686174',NULL,1795998703604766);
INSERT INTO "botwire_changes" VALUES(X'6B657074',7,'record','put',X'6E6F746573',NULL,1795998703606303);
INSERT INTO "botwire_changes" VALUES(X'6B657074',8,'record','put',X'6E6F746573',NULL,1795998703608096);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',1,'key','put',X'6B',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',2,'key','put',X'6279746573',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',3,'key','put',X'74746C',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',4,'key','put',X'676F6E65',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',5,'key','delete',X'676F6E65',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',6,'key','put',X'6E',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',7,'history','append',X'63686174',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',8,'history','delete',X'63686174',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',9,'history','archive',X'63686174',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',10,'record','put',X'6E6F746573',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',11,'record','put',X'776F726473',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',12,'history','fork',X'666F726B',NULL,NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',13,'history','append',X'7369676E6564','[null,"ada"]',NULL);
INSERT INTO "botwire_changes" VALUES(X'6F6C642FC3A9EDA080',14,'record','put',X'7369676E6564','[null,"ada"]',NULL);
INSERT INTO "botwire_changes" VALUES(X'6F74686572',1,'key','put',X'6B',NULL,NULL);
CREATE TABLE botwire_collections (
        namespace BLOB NOT NULL,
        collection BLOB NOT NULL,
        dimension BIGINT,
        size BIGINT NOT NULL,
        words BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        removed BIGINT NOT NULL, bytes BIGINT NOT NULL DEFAULT 0, expiring BIGINT NOT NULL DEFAULT 0, version BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, collection)
    ) WITHOUT ROWID;
INSERT INTO "botwire_collections" VALUES(X'6B657074',X'6E6F746573',NULL,1,2,8,7,50,0,8);
INSERT INTO "botwire_collections" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',3,2,4,10,10,140,0,0);
INSERT INTO "botwire_collections" VALUES(X'6F6C642FC3A9EDA080',X'7369676E6564',NULL,1,1,14,14,53,0,0);
INSERT INTO "botwire_collections" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',NULL,3,29,11,11,177,0,0);
CREATE TABLE "botwire_forked_items" (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL,
        seq BIGINT NOT NULL,
        until BIGINT NOT NULL,
        id BLOB,
        value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        version BIGINT NOT NULL, author TEXT,
        PRIMARY KEY (namespace, history, seq, until)
    );
CREATE TABLE botwire_histories (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL,
        last_seq BIGINT NOT NULL,
        size BIGINT NOT NULL,
        archived BIGINT NOT NULL,
        archived_seq BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL, bytes BIGINT NOT NULL DEFAULT 0, metadata TEXT, metadata_version BIGINT NOT NULL DEFAULT 0, expires_at BIGINT, dead_seq BIGINT NOT NULL DEFAULT 0, dead BIGINT NOT NULL DEFAULT 0, base TEXT, forks BIGINT NOT NULL DEFAULT 0, forked_seq BIGINT NOT NULL DEFAULT 0, forked_version BIGINT NOT NULL DEFAULT 0, past BIGINT NOT NULL DEFAULT 0, version BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, history)
    ) WITHOUT ROWID;
INSERT INTO "botwire_histories" VALUES(X'6B657074',X'63686174',2,2,0,0,1795998703600908,1795998703604766,89,'{"title":"new"}',6,NULL,0,0,NULL,0,0,0,0,6);
INSERT INTO "botwire_histories" VALUES(X'6F6C642FC3A9EDA080',X'63686174',4,2,1,1,1795923594340227,1795923594341711,121,'{"title":"t"}',11,NULL,0,0,NULL,1,4,12,0,0);
INSERT INTO "botwire_histories" VALUES(X'6F6C642FC3A9EDA080',X'666F726B',4,2,1,1,1795923594340227,1795923594341711,0,NULL,0,NULL,0,0,'[["chat", 0, 4, 12]]',0,0,0,0,0);
INSERT INTO "botwire_histories" VALUES(X'6F6C642FC3A9EDA080',X'7369676E6564',1,1,0,0,1795975864976841,1795975864976841,47,NULL,0,NULL,0,0,NULL,0,0,0,0,0);
CREATE TABLE botwire_items (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL,
        seq BIGINT NOT NULL,
        id BLOB,
        value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL, version BIGINT NOT NULL DEFAULT 0, author TEXT,
        PRIMARY KEY (namespace, history, seq)
    );
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',1,X'31','"a"',1795923594340227,0,NULL);
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',3,X'33','null',1795923594340227,0,NULL);
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'63686174',4,NULL,'"d"',1795923594340227,8,NULL);
INSERT INTO "botwire_items" VALUES(X'6F6C642FC3A9EDA080',X'7369676E6564',1,NULL,'"x"',1795975864976841,13,'[null,"ada"]');
INSERT INTO "botwire_items" VALUES(X'6B657074',X'63686174',1,NULL,'"ONE"',1795998703600908,5,NULL);
INSERT INTO "botwire_items" VALUES(X'6B657074',X'63686174',2,NULL,'"two"',1795998703600908,3,NULL);
CREATE TABLE botwire_keys (
        namespace BLOB NOT NULL,
        key BLOB NOT NULL,
        value_json TEXT,
        value_bytes BLOB,
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        expires_at BIGINT, replaced BIGINT NOT NULL DEFAULT 0, author TEXT,
        PRIMARY KEY (namespace, key)
    );
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6B','{"a":[1,null,10000000000000000000000000000000000000000,"\ud800"]}',NULL,1,1795923594335972,1795923594335972,NULL,0,NULL);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6279746573',NULL,X'00FF',2,1795923594337037,1795923594337037,NULL,0,NULL);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'74746C','1',NULL,3,1795923594337758,1795923594337758,3372723594337758,0,NULL);
INSERT INTO "botwire_keys" VALUES(X'6F6C642FC3A9EDA080',X'6E','41',NULL,6,1795923594339607,1795923594339607,NULL,0,NULL);
INSERT INTO "botwire_keys" VALUES(X'6F74686572',X'6B','"other''s"',NULL,1,1795923594345096,1795923594345096,NULL,0,NULL);
INSERT INTO "botwire_keys" VALUES(X'6B657074',X'6B','2',NULL,2,1795998703598532,1795998703600069,NULL,34,NULL);
CREATE TABLE botwire_namespaces (
        namespace BLOB NOT NULL,
        revision BIGINT NOT NULL,
        created_at BIGINT NOT NULL, bytes BIGINT NOT NULL DEFAULT 0, writes BIGINT NOT NULL DEFAULT 0, day BIGINT NOT NULL DEFAULT 0, day_began BIGINT NOT NULL DEFAULT 0, largest BIGINT NOT NULL DEFAULT 0, keep_past BIGINT NOT NULL DEFAULT 0, past_since BIGINT NOT NULL DEFAULT 0, past_began BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace)
    ) WITHOUT ROWID;
INSERT INTO "botwire_namespaces" VALUES(X'6B657074',8,1795998703596700,306,8,20787,0,50,3153600000000000,0,1795998703596700);
INSERT INTO "botwire_namespaces" VALUES(X'6F6C642FC3A9EDA080',14,1795923594335972,746,11,20786,0,98,0,0,0);
INSERT INTO "botwire_namespaces" VALUES(X'6F74686572',1,1795923594345096,42,1,20786,0,42,0,0,0);
CREATE TABLE botwire_past_collections (
        namespace BLOB NOT NULL,
        collection BLOB NOT NULL, dimension BIGINT, size BIGINT NOT NULL,
        words BIGINT NOT NULL, revision BIGINT NOT NULL, expiring BIGINT NOT NULL,
        version BIGINT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, until)
    );
INSERT INTO "botwire_past_collections" VALUES(X'6B657074',X'6E6F746573',NULL,1,2,7,0,7,8);
CREATE TABLE botwire_past_histories (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL, last_seq BIGINT NOT NULL, size BIGINT NOT NULL,
        archived BIGINT NOT NULL, archived_seq BIGINT NOT NULL, created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL, metadata_version BIGINT NOT NULL, expires_at BIGINT,
        dead_seq BIGINT NOT NULL, base TEXT, version BIGINT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, until)
    );
INSERT INTO "botwire_past_histories" VALUES(X'6B657074',X'63686174',2,2,0,0,1795998703600908,1795998703600908,0,NULL,0,NULL,3,4);
INSERT INTO "botwire_past_histories" VALUES(X'6B657074',X'63686174',2,2,0,0,1795998703600908,1795998703602012,4,NULL,0,NULL,4,5);
INSERT INTO "botwire_past_histories" VALUES(X'6B657074',X'63686174',2,2,0,0,1795998703600908,1795998703603182,4,NULL,0,NULL,5,6);
CREATE TABLE botwire_past_items (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL, seq BIGINT NOT NULL, id BLOB, value_json TEXT NOT NULL,
        created_at BIGINT NOT NULL, version BIGINT NOT NULL, author TEXT,
        until BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, seq, until)
    );
INSERT INTO "botwire_past_items" VALUES(X'6B657074',X'63686174',1,NULL,'"one"',1795998703600908,3,NULL,5);
CREATE TABLE botwire_past_keys (
        namespace BLOB NOT NULL,
        key BLOB NOT NULL, value_json TEXT, value_bytes BLOB, version BIGINT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, expires_at BIGINT, author TEXT,
        until BIGINT NOT NULL,
        PRIMARY KEY (namespace, key, until)
    );
INSERT INTO "botwire_past_keys" VALUES(X'6B657074',X'6B','1',NULL,1,1795998703598532,1795998703598532,NULL,NULL,2);
CREATE TABLE botwire_past_metadata (
        namespace BLOB NOT NULL,
        history BLOB NOT NULL, metadata TEXT NOT NULL,
        metadata_version BIGINT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (namespace, history, until)
    );
INSERT INTO "botwire_past_metadata" VALUES(X'6B657074',X'63686174','{"title":"old"}',4,6);
CREATE TABLE botwire_past_records (
        namespace BLOB NOT NULL,
        collection BLOB NOT NULL, id BLOB NOT NULL, text BLOB NOT NULL,
        metadata TEXT NOT NULL, tags TEXT NOT NULL, scope BLOB NOT NULL, embedding BLOB,
        version BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        expires_at BIGINT, author TEXT,
        until BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, id, until)
    );
INSERT INTO "botwire_past_records" VALUES(X'6B657074',X'6E6F746573',X'31',X'677265656E20746561','{}','[]',X'2F',NULL,7,1795998703606303,1795998703606303,NULL,NULL,8);
CREATE TABLE botwire_past_words (
        namespace BLOB NOT NULL,
        collection BLOB NOT NULL, word BLOB NOT NULL, id BLOB NOT NULL,
        times BIGINT NOT NULL, among BIGINT NOT NULL, since BIGINT,
        until BIGINT NOT NULL,
        PRIMARY KEY (namespace, collection, word, id, until)
    );
INSERT INTO "botwire_past_words" VALUES(X'6B657074',X'6E6F746573',X'677265656E',X'31',1,2,7,8);
INSERT INTO "botwire_past_words" VALUES(X'6B657074',X'6E6F746573',X'746561',X'31',1,2,7,8);
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
        updated_at BIGINT NOT NULL, expires_at BIGINT, author TEXT,
        PRIMARY KEY (namespace, collection, id)
    );
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'746561',X'677265656E20746561','{}','["drink"]',X'2F',X'0000803F0000000000000000',10,1795923594342656,1795923594342656,NULL,NULL);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'636F66666565',X'626C61636B20636F66666565','{"a":1}','[]',X'2F',X'000000000000803F00000000',10,1795923594342656,1795923594342656,NULL,NULL);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'636174',X'E7A781E381AFE78CABE3818CE5A5BDE3818DE381A7E38199','{}','[]',X'2F',NULL,11,1795923594343960,1795923594343960,NULL,NULL);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'746561',X'677265656E20746561','{}','[]',X'2F',NULL,11,1795923594343960,1795923594343960,NULL,NULL);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'73656F756C',X'EC849CEC9AB8EC9790EC849C20EBA78CEB8298EC9A94','{}','[]',X'2F',NULL,11,1795923594343960,1795923594343960,NULL,NULL);
INSERT INTO "botwire_records" VALUES(X'6F6C642FC3A9EDA080',X'7369676E6564',X'73',X'746561','{}','[]',X'2F',NULL,14,1795975864988734,1795975864988734,NULL,'[null,"ada"]');
INSERT INTO "botwire_records" VALUES(X'6B657074',X'6E6F746573',X'31',X'626C61636B20636F66666565','{}','[]',X'2F',NULL,8,1795998703606303,1795998703608096,NULL,NULL);
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
        among BIGINT NOT NULL, since BIGINT,
        PRIMARY KEY (namespace, collection, word, id)
    ) WITHOUT ROWID;
INSERT INTO "botwire_words" VALUES(X'6B657074',X'6E6F746573',X'626C61636B',X'31',1,2,8);
INSERT INTO "botwire_words" VALUES(X'6B657074',X'6E6F746573',X'636F66666565',X'31',1,2,8);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'626C61636B',X'636F66666565',1,2,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'636F66666565',X'636F66666565',1,2,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'677265656E',X'746561',1,2,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'6E6F746573',X'746561',X'746561',1,2,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'7369676E6564',X'746561',X'73',1,1,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'677265656E',X'746561',1,2,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'746561',X'746561',1,2,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E3818B',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E3818BE5A5BD',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E3818D',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E3818DE381A6',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E38199',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E381A6',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E381A6E38199',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E381AF',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E381AFE78CAB',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E5A5BD',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E5A5BDE3818D',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E78CAB',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E78CABE3818B',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E7A781',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'E7A781E381AF',X'636174',1,15,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EB8298',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EB8298EC9A94',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EBA78C',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EBA78CEB8298',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC849C',X'73656F756C',2,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC849CEC9AB8',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9790',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9790EC849C',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9A94',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9AB8',X'73656F756C',1,12,NULL);
INSERT INTO "botwire_words" VALUES(X'6F6C642FC3A9EDA080',X'776F726473',X'EC9AB8EC9790',X'73656F756C',1,12,NULL);
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
CREATE INDEX botwire_histories_updated ON botwire_histories (namespace, updated_at, history);
CREATE INDEX botwire_histories_expiry ON botwire_histories (expires_at, namespace) WHERE expires_at IS NOT NULL;
CREATE INDEX botwire_histories_unswept ON botwire_histories (namespace, history) WHERE dead > 0 OR (past > 0 AND forks = 0);
CREATE INDEX botwire_records_expiry ON botwire_records (expires_at, namespace) WHERE expires_at IS NOT NULL;
CREATE INDEX botwire_records_expiring ON botwire_records (namespace, collection, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX botwire_namespaces_past ON botwire_namespaces (namespace)
        WHERE keep_past <> 0;
CREATE INDEX botwire_changes_time ON botwire_changes (namespace, changed_at)
        WHERE changed_at IS NOT NULL;
CREATE INDEX botwire_past_keys_until ON botwire_past_keys (namespace, until);
CREATE INDEX botwire_past_histories_until ON botwire_past_histories (namespace, until);
CREATE INDEX botwire_past_metadata_until ON botwire_past_metadata (namespace, until);
CREATE INDEX botwire_past_items_until ON botwire_past_items (namespace, until);
CREATE INDEX botwire_past_collections_until ON botwire_past_collections (namespace, until);
CREATE INDEX botwire_past_records_until ON botwire_past_records (namespace, until);
CREATE INDEX botwire_past_words_until ON botwire_past_words (namespace, until);
COMMIT;
