CREATE TABLE public.botwire_changes (
    namespace bytea NOT NULL,
    revision bigint NOT NULL,
    shape text NOT NULL,
    action text NOT NULL,
    name bytea NOT NULL,
    author text,
    changed_at bigint
);
CREATE TABLE public.botwire_collections (
    namespace bytea NOT NULL,
    collection bytea NOT NULL,
    dimension bigint,
    size bigint NOT NULL,
    words bigint NOT NULL,
    revision bigint NOT NULL,
    removed bigint NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    expiring bigint DEFAULT 0 NOT NULL,
    version bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.botwire_forked_items (
    namespace bytea CONSTRAINT botwire_past_items_namespace_not_null NOT NULL,
    history bytea CONSTRAINT botwire_past_items_history_not_null NOT NULL,
    seq bigint CONSTRAINT botwire_past_items_seq_not_null NOT NULL,
    until bigint CONSTRAINT botwire_past_items_until_not_null NOT NULL,
    id bytea,
    value_json text CONSTRAINT botwire_past_items_value_json_not_null NOT NULL,
    created_at bigint CONSTRAINT botwire_past_items_created_at_not_null NOT NULL,
    version bigint CONSTRAINT botwire_past_items_version_not_null NOT NULL,
    author text
);
CREATE TABLE public.botwire_histories (
    namespace bytea NOT NULL,
    history bytea NOT NULL,
    last_seq bigint NOT NULL,
    size bigint NOT NULL,
    archived bigint NOT NULL,
    archived_seq bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    metadata text,
    metadata_version bigint DEFAULT 0 NOT NULL,
    expires_at bigint,
    dead_seq bigint DEFAULT 0 NOT NULL,
    dead bigint DEFAULT 0 NOT NULL,
    base text,
    forks bigint DEFAULT 0 NOT NULL,
    forked_seq bigint DEFAULT 0 NOT NULL,
    forked_version bigint DEFAULT 0 NOT NULL,
    past bigint DEFAULT 0 NOT NULL,
    version bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.botwire_items (
    namespace bytea NOT NULL,
    history bytea NOT NULL,
    seq bigint NOT NULL,
    id bytea,
    value_json text NOT NULL,
    created_at bigint NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    author text
);
CREATE TABLE public.botwire_keys (
    namespace bytea NOT NULL,
    key bytea NOT NULL,
    value_json text,
    value_bytes bytea,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint,
    replaced bigint DEFAULT 0 NOT NULL,
    author text
);
CREATE TABLE public.botwire_namespaces (
    namespace bytea NOT NULL,
    revision bigint NOT NULL,
    created_at bigint NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    writes bigint DEFAULT 0 NOT NULL,
    day bigint DEFAULT 0 NOT NULL,
    day_began bigint DEFAULT 0 NOT NULL,
    largest bigint DEFAULT 0 NOT NULL,
    keep_past bigint DEFAULT 0 NOT NULL,
    past_since bigint DEFAULT 0 NOT NULL,
    past_began bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.botwire_past_collections (
    namespace bytea NOT NULL,
    collection bytea NOT NULL,
    dimension bigint,
    size bigint NOT NULL,
    words bigint NOT NULL,
    revision bigint NOT NULL,
    expiring bigint NOT NULL,
    version bigint NOT NULL,
    until bigint NOT NULL
);
CREATE TABLE public.botwire_past_histories (
    namespace bytea NOT NULL,
    history bytea NOT NULL,
    last_seq bigint NOT NULL,
    size bigint NOT NULL,
    archived bigint NOT NULL,
    archived_seq bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    metadata_version bigint NOT NULL,
    expires_at bigint,
    dead_seq bigint NOT NULL,
    base text,
    version bigint NOT NULL,
    until bigint NOT NULL
);
CREATE TABLE public.botwire_past_items (
    namespace bytea CONSTRAINT botwire_past_items_namespace_not_null1 NOT NULL,
    history bytea CONSTRAINT botwire_past_items_history_not_null1 NOT NULL,
    seq bigint CONSTRAINT botwire_past_items_seq_not_null1 NOT NULL,
    id bytea,
    value_json text CONSTRAINT botwire_past_items_value_json_not_null1 NOT NULL,
    created_at bigint CONSTRAINT botwire_past_items_created_at_not_null1 NOT NULL,
    version bigint CONSTRAINT botwire_past_items_version_not_null1 NOT NULL,
    author text,
    until bigint CONSTRAINT botwire_past_items_until_not_null1 NOT NULL
);
CREATE TABLE public.botwire_past_keys (
    namespace bytea NOT NULL,
    key bytea NOT NULL,
    value_json text,
    value_bytes bytea,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint,
    author text,
    until bigint NOT NULL
);
CREATE TABLE public.botwire_past_metadata (
    namespace bytea NOT NULL,
    history bytea NOT NULL,
    metadata text NOT NULL,
    metadata_version bigint NOT NULL,
    until bigint NOT NULL
);
CREATE TABLE public.botwire_past_records (
    namespace bytea NOT NULL,
    collection bytea NOT NULL,
    id bytea NOT NULL,
    text bytea NOT NULL,
    metadata text NOT NULL,
    tags text NOT NULL,
    scope bytea NOT NULL,
    embedding bytea,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint,
    author text,
    until bigint NOT NULL
);
CREATE TABLE public.botwire_past_words (
    namespace bytea NOT NULL,
    collection bytea NOT NULL,
    word bytea NOT NULL,
    id bytea NOT NULL,
    times bigint NOT NULL,
    among bigint NOT NULL,
    since bigint,
    until bigint NOT NULL
);
CREATE TABLE public.botwire_records (
    namespace bytea NOT NULL,
    collection bytea NOT NULL,
    id bytea NOT NULL,
    text bytea NOT NULL,
    metadata text NOT NULL,
    tags text NOT NULL,
    scope bytea NOT NULL,
    embedding bytea,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    expires_at bigint,
    author text
);
CREATE TABLE public.botwire_requests (
    namespace bytea NOT NULL,
    id bytea NOT NULL,
    results text NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.botwire_schema (
    version bigint NOT NULL
);
CREATE TABLE public.botwire_words (
    namespace bytea NOT NULL,
    collection bytea NOT NULL,
    word bytea NOT NULL,
    id bytea NOT NULL,
    times bigint NOT NULL,
    among bigint NOT NULL,
    since bigint
);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 1, 'key', 'put', '\x6b', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 2, 'key', 'put', '\x6279746573', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 3, 'key', 'put', '\x74746c', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 4, 'key', 'put', '\x676f6e65', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 5, 'key', 'delete', '\x676f6e65', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 6, 'key', 'put', '\x6e', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 7, 'history', 'append', '\x63686174', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 8, 'history', 'delete', '\x63686174', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 9, 'history', 'archive', '\x63686174', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 10, 'record', 'put', '\x6e6f746573', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 11, 'record', 'put', '\x776f726473', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f74686572', 1, 'key', 'put', '\x6b', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 12, 'history', 'fork', '\x666f726b', NULL, NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 13, 'history', 'append', '\x7369676e6564', '[null,"ada"]', NULL);
INSERT INTO public.botwire_changes VALUES ('\x6f6c642fc3a9eda080', 14, 'record', 'put', '\x7369676e6564', '[null,"ada"]', NULL);
INSERT INTO public.botwire_changes VALUES ('\x6b657074', 1, 'key', 'put', '\x6b', NULL, 1795999599796108);
INSERT INTO public.botwire_changes VALUES ('\x6b657074', 2, 'key', 'put', '\x6b', NULL, 1795999599889569);
INSERT INTO public.botwire_changes VALUES ('\x6b657074', 3, 'history', 'append', '\x63686174', NULL, 1795999599968141);
INSERT INTO public.botwire_changes VALUES ('\x6b657074', 4, 'history', 'metadata', '\x63686174', NULL, 1795999600032348);
INSERT INTO public.botwire_changes VALUES ('\x6b657074', 5, 'history', 'update', '\x63686174', NULL, 1795999600157488);
INSERT INTO public.botwire_changes VALUES ('\x6b657074', 6, 'history', 'metadata', '\x63686174', NULL, 1795999600384136);
INSERT INTO public.botwire_changes VALUES ('\x6b657074', 7, 'record', 'put', '\x6e6f746573', NULL, 1795999600500299);
INSERT INTO public.botwire_changes VALUES ('\x6b657074', 8, 'record', 'put', '\x6e6f746573', NULL, 1795999600591983);
INSERT INTO public.botwire_collections VALUES ('\x6f6c642fc3a9eda080', '\x6e6f746573', 3, 2, 4, 10, 10, 140, 0, 0);
INSERT INTO public.botwire_collections VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', NULL, 3, 29, 11, 11, 177, 0, 0);
INSERT INTO public.botwire_collections VALUES ('\x6f6c642fc3a9eda080', '\x7369676e6564', NULL, 1, 1, 14, 14, 53, 0, 0);
INSERT INTO public.botwire_collections VALUES ('\x6b657074', '\x6e6f746573', NULL, 1, 2, 8, 7, 50, 0, 8);
INSERT INTO public.botwire_histories VALUES ('\x6f6c642fc3a9eda080', '\x666f726b', 4, 2, 1, 1, 1795923595943912, 1795923595951724, 0, NULL, 0, NULL, 0, 0, '[["chat", 0, 4, 12]]', 0, 0, 0, 0, 0);
INSERT INTO public.botwire_histories VALUES ('\x6f6c642fc3a9eda080', '\x63686174', 4, 2, 1, 1, 1795923595943912, 1795923595951724, 121, '{"title":"t"}', 11, NULL, 0, 0, NULL, 1, 4, 12, 0, 0);
INSERT INTO public.botwire_histories VALUES ('\x6f6c642fc3a9eda080', '\x7369676e6564', 1, 1, 0, 0, 1795975869581725, 1795975869581725, 47, NULL, 0, NULL, 0, 0, NULL, 0, 0, 0, 0, 0);
INSERT INTO public.botwire_histories VALUES ('\x6b657074', '\x63686174', 2, 2, 0, 0, 1795999599968141, 1795999600384136, 89, '{"title":"new"}', 6, NULL, 0, 0, NULL, 0, 0, 0, 0, 6);
INSERT INTO public.botwire_items VALUES ('\x6f6c642fc3a9eda080', '\x63686174', 1, '\x31', '"a"', 1795923595943912, 0, NULL);
INSERT INTO public.botwire_items VALUES ('\x6f6c642fc3a9eda080', '\x63686174', 3, '\x33', 'null', 1795923595943912, 0, NULL);
INSERT INTO public.botwire_items VALUES ('\x6f6c642fc3a9eda080', '\x63686174', 4, NULL, '"d"', 1795923595943912, 8, NULL);
INSERT INTO public.botwire_items VALUES ('\x6f6c642fc3a9eda080', '\x7369676e6564', 1, NULL, '"x"', 1795975869581725, 13, '[null,"ada"]');
INSERT INTO public.botwire_items VALUES ('\x6b657074', '\x63686174', 2, NULL, '"two"', 1795999599968141, 3, NULL);
INSERT INTO public.botwire_items VALUES ('\x6b657074', '\x63686174', 1, NULL, '"ONE"', 1795999599968141, 5, NULL);
INSERT INTO public.botwire_keys VALUES ('\x6f6c642fc3a9eda080', '\x6b', '{"a":[1,null,10000000000000000000000000000000000000000,"\ud800"]}', NULL, 1, 1795923595926073, 1795923595926073, NULL, 0, NULL);
INSERT INTO public.botwire_keys VALUES ('\x6f6c642fc3a9eda080', '\x6279746573', NULL, '\x00ff', 2, 1795923595932935, 1795923595932935, NULL, 0, NULL);
INSERT INTO public.botwire_keys VALUES ('\x6f6c642fc3a9eda080', '\x74746c', '1', NULL, 3, 1795923595935114, 1795923595935114, 3372723595935114, 0, NULL);
INSERT INTO public.botwire_keys VALUES ('\x6f6c642fc3a9eda080', '\x6e', '41', NULL, 6, 1795923595941643, 1795923595941643, NULL, 0, NULL);
INSERT INTO public.botwire_keys VALUES ('\x6f74686572', '\x6b', '"other''s"', NULL, 1, 1795923595963286, 1795923595963286, NULL, 0, NULL);
INSERT INTO public.botwire_keys VALUES ('\x6b657074', '\x6b', '2', NULL, 2, 1795999599796108, 1795999599889569, NULL, 34, NULL);
INSERT INTO public.botwire_namespaces VALUES ('\x6f74686572', 1, 1795923595963286, 42, 1, 20786, 0, 42, 0, 0, 0);
INSERT INTO public.botwire_namespaces VALUES ('\x6f6c642fc3a9eda080', 14, 1795923595926073, 746, 11, 20786, 0, 98, 0, 0, 0);
INSERT INTO public.botwire_namespaces VALUES ('\x6b657074', 8, 1795999599531723, 306, 8, 20787, 0, 50, 3153600000000000, 0, 1795999599531723);
INSERT INTO public.botwire_past_collections VALUES ('\x6b657074', '\x6e6f746573', NULL, 1, 2, 7, 0, 7, 8);
INSERT INTO public.botwire_past_histories VALUES ('\x6b657074', '\x63686174', 2, 2, 0, 0, 1795999599968141, 1795999599968141, 0, NULL, 0, NULL, 3, 4);
INSERT INTO public.botwire_past_histories VALUES ('\x6b657074', '\x63686174', 2, 2, 0, 0, 1795999599968141, 1795999600032348, 4, NULL, 0, NULL, 4, 5);
INSERT INTO public.botwire_past_histories VALUES ('\x6b657074', '\x63686174', 2, 2, 0, 0, 1795999599968141, 1795999600157488, 4, NULL, 0, NULL, 5, 6);
INSERT INTO public.botwire_past_items VALUES ('\x6b657074', '\x63686174', 1, NULL, '"one"', 1795999599968141, 3, NULL, 5);
INSERT INTO public.botwire_past_keys VALUES ('\x6b657074', '\x6b', '1', NULL, 1, 1795999599796108, 1795999599796108, NULL, NULL, 2);
INSERT INTO public.botwire_past_metadata VALUES ('\x6b657074', '\x63686174', '{"title":"old"}', 4, 6);
INSERT INTO public.botwire_past_records VALUES ('\x6b657074', '\x6e6f746573', '\x31', '\x677265656e20746561', '{}', '[]', '\x2f', NULL, 7, 1795999600500299, 1795999600500299, NULL, NULL, 8);
INSERT INTO public.botwire_past_words VALUES ('\x6b657074', '\x6e6f746573', '\x677265656e', '\x31', 1, 2, 7, 8);
INSERT INTO public.botwire_past_words VALUES ('\x6b657074', '\x6e6f746573', '\x746561', '\x31', 1, 2, 7, 8);
INSERT INTO public.botwire_records VALUES ('\x6f6c642fc3a9eda080', '\x6e6f746573', '\x746561', '\x677265656e20746561', '{}', '["drink"]', '\x2f', '\x0000803f0000000000000000', 10, 1795923595954764, 1795923595954764, NULL, NULL);
INSERT INTO public.botwire_records VALUES ('\x6f6c642fc3a9eda080', '\x6e6f746573', '\x636f66666565', '\x626c61636b20636f66666565', '{"a":1}', '[]', '\x2f', '\x000000000000803f00000000', 10, 1795923595954764, 1795923595954764, NULL, NULL);
INSERT INTO public.botwire_records VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\x636174', '\xe7a781e381afe78cabe3818ce5a5bde3818de381a7e38199', '{}', '[]', '\x2f', NULL, 11, 1795923595959163, 1795923595959163, NULL, NULL);
INSERT INTO public.botwire_records VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\x746561', '\x677265656e20746561', '{}', '[]', '\x2f', NULL, 11, 1795923595959163, 1795923595959163, NULL, NULL);
INSERT INTO public.botwire_records VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\x73656f756c', '\xec849cec9ab8ec9790ec849c20eba78ceb8298ec9a94', '{}', '[]', '\x2f', NULL, 11, 1795923595959163, 1795923595959163, NULL, NULL);
INSERT INTO public.botwire_records VALUES ('\x6f6c642fc3a9eda080', '\x7369676e6564', '\x73', '\x746561', '{}', '[]', '\x2f', NULL, 14, 1795975869601012, 1795975869601012, NULL, '[null,"ada"]');
INSERT INTO public.botwire_records VALUES ('\x6b657074', '\x6e6f746573', '\x31', '\x626c61636b20636f66666565', '{}', '[]', '\x2f', NULL, 8, 1795999600500299, 1795999600591983, NULL, NULL);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x6233346465643331663466633438623562623761343463663661616438623333', '{"results":[1]}', 1795923595926073);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x6665313563303134343135663435626538616566336361663536383637626561', '{"results":[2]}', 1795923595932935);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x3935343162656235393965363434633939373164633338646637343933663066', '{"results":[3]}', 1795923595935114);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x3836653231346565636235323431646661663466323433656630646537326331', '{"results":[4]}', 1795923595937510);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x3733356139376231633362303430653138376430316436353562643464303631', '{"results":[true]}', 1795923595939516);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x3333633237333335643163343433653062613731333331656136636630333439', '{"results":[6]}', 1795923595941643);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x6164653163613863626264323430666662343537313861346336633665656332', '{"results":[[1,2,3,4]]}', 1795923595943912);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x3036386461626565633661343431373761313130376632343739613734646664', '{"results":[1]}', 1795923595947693);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x6533373866363534353730323433326261333935303431363034666166376431', '{"results":[1]}', 1795923595951724);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x3433366236373263313534373436376538613838623332333966666432383732', '{"results":[[10,10]]}', 1795923595954764);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x6233376530306333313736373431356539346564626339396335616362336537', '{"results":[[11,11,11]]}', 1795923595959163);
INSERT INTO public.botwire_requests VALUES ('\x6f74686572', '\x6534306264303733663663663432363662336337356561356561396661313234', '{"results":[1]}', 1795923595963286);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x3239613733663065633065633463336661346466326462393132323330323734', '{"results":[[1]]}', 1795975869581725);
INSERT INTO public.botwire_requests VALUES ('\x6f6c642fc3a9eda080', '\x3464363830626461613462623439333738616131303762383464633038396362', '{"results":[[14]]}', 1795975869601012);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3461653666356262383336353439643439353634393364386563333237316434', '{"results":[{"keep":3153600000.0,"since":0,"began":"2026-11-30T00:46:39.531723Z","revision":0}]}', 1795999599531723);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3332373238333436353238333464663862303431333632393261346635653732', '{"results":[1]}', 1795999599796108);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3632303266373032316437393439613862313335363261353462363262336239', '{"results":[2]}', 1795999599889569);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3531356437313264646265303463316461333630366238376565353863326331', '{"results":[[1,2]]}', 1795999599968141);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3466316638373438376561663432373339376531343438386538613731666265', '{"results":[4]}', 1795999600032348);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3065313130353066303862623431303162643731333661633334613030343738', '{"results":[5]}', 1795999600157488);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3632633932366238303537643438346539363531383134663438353063306237', '{"results":[6]}', 1795999600384136);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3164346464633865663464393465363862623234643139613363376266366633', '{"results":[[7]]}', 1795999600500299);
INSERT INTO public.botwire_requests VALUES ('\x6b657074', '\x3034636131313230333566653439393939666466633163346661663330383337', '{"results":[[8]]}', 1795999600591983);
INSERT INTO public.botwire_schema VALUES (12);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x6e6f746573', '\x626c61636b', '\x636f66666565', 1, 2, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x6e6f746573', '\x636f66666565', '\x636f66666565', 1, 2, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x6e6f746573', '\x677265656e', '\x746561', 1, 2, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x6e6f746573', '\x746561', '\x746561', 1, 2, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\x677265656e', '\x746561', 1, 2, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\x746561', '\x746561', 1, 2, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe3818b', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe3818be5a5bd', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe3818d', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe3818de381a6', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe38199', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe381a6', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe381a6e38199', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe381af', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe381afe78cab', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe5a5bd', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe5a5bde3818d', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe78cab', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe78cabe3818b', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe7a781', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xe7a781e381af', '\x636174', 1, 15, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xeb8298', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xeb8298ec9a94', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xeba78c', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xeba78ceb8298', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xec849c', '\x73656f756c', 2, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xec849cec9ab8', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xec9790', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xec9790ec849c', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xec9a94', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xec9ab8', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x776f726473', '\xec9ab8ec9790', '\x73656f756c', 1, 12, NULL);
INSERT INTO public.botwire_words VALUES ('\x6f6c642fc3a9eda080', '\x7369676e6564', '\x746561', '\x73', 1, 1, NULL);
INSERT INTO public.botwire_words VALUES ('\x6b657074', '\x6e6f746573', '\x626c61636b', '\x31', 1, 2, 8);
INSERT INTO public.botwire_words VALUES ('\x6b657074', '\x6e6f746573', '\x636f66666565', '\x31', 1, 2, 8);
ALTER TABLE ONLY public.botwire_changes
    ADD CONSTRAINT botwire_changes_pkey PRIMARY KEY (namespace, revision);
ALTER TABLE ONLY public.botwire_collections
    ADD CONSTRAINT botwire_collections_pkey PRIMARY KEY (namespace, collection);
ALTER TABLE ONLY public.botwire_histories
    ADD CONSTRAINT botwire_histories_pkey PRIMARY KEY (namespace, history);
ALTER TABLE ONLY public.botwire_items
    ADD CONSTRAINT botwire_items_pkey PRIMARY KEY (namespace, history, seq);
ALTER TABLE ONLY public.botwire_keys
    ADD CONSTRAINT botwire_keys_pkey PRIMARY KEY (namespace, key);
ALTER TABLE ONLY public.botwire_namespaces
    ADD CONSTRAINT botwire_namespaces_pkey PRIMARY KEY (namespace);
ALTER TABLE ONLY public.botwire_past_collections
    ADD CONSTRAINT botwire_past_collections_pkey PRIMARY KEY (namespace, collection, until);
ALTER TABLE ONLY public.botwire_past_histories
    ADD CONSTRAINT botwire_past_histories_pkey PRIMARY KEY (namespace, history, until);
ALTER TABLE ONLY public.botwire_forked_items
    ADD CONSTRAINT botwire_past_items_pkey PRIMARY KEY (namespace, history, seq, until);
ALTER TABLE ONLY public.botwire_past_items
    ADD CONSTRAINT botwire_past_items_pkey1 PRIMARY KEY (namespace, history, seq, until);
ALTER TABLE ONLY public.botwire_past_keys
    ADD CONSTRAINT botwire_past_keys_pkey PRIMARY KEY (namespace, key, until);
ALTER TABLE ONLY public.botwire_past_metadata
    ADD CONSTRAINT botwire_past_metadata_pkey PRIMARY KEY (namespace, history, until);
ALTER TABLE ONLY public.botwire_past_records
    ADD CONSTRAINT botwire_past_records_pkey PRIMARY KEY (namespace, collection, id, until);
ALTER TABLE ONLY public.botwire_past_words
    ADD CONSTRAINT botwire_past_words_pkey PRIMARY KEY (namespace, collection, word, id, until);
ALTER TABLE ONLY public.botwire_records
    ADD CONSTRAINT botwire_records_pkey PRIMARY KEY (namespace, collection, id);
ALTER TABLE ONLY public.botwire_requests
    ADD CONSTRAINT botwire_requests_pkey PRIMARY KEY (namespace, id);
ALTER TABLE ONLY public.botwire_schema
    ADD CONSTRAINT botwire_schema_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.botwire_words
    ADD CONSTRAINT botwire_words_pkey PRIMARY KEY (namespace, collection, word, id);
CREATE INDEX botwire_changes_time ON public.botwire_changes USING btree (namespace, changed_at) WHERE (changed_at IS NOT NULL);
CREATE INDEX botwire_histories_expiry ON public.botwire_histories USING btree (expires_at, namespace) WHERE (expires_at IS NOT NULL);
CREATE INDEX botwire_histories_unswept ON public.botwire_histories USING btree (namespace, history) WHERE ((dead > 0) OR ((past > 0) AND (forks = 0)));
CREATE INDEX botwire_histories_updated ON public.botwire_histories USING btree (namespace, updated_at, history);
CREATE UNIQUE INDEX botwire_items_id ON public.botwire_items USING btree (namespace, history, id) WHERE (id IS NOT NULL);
CREATE INDEX botwire_keys_expiry ON public.botwire_keys USING btree (expires_at, namespace) WHERE (expires_at IS NOT NULL);
CREATE INDEX botwire_namespaces_day ON public.botwire_namespaces USING btree (day, namespace) WHERE (day > 0);
CREATE INDEX botwire_namespaces_past ON public.botwire_namespaces USING btree (namespace) WHERE (keep_past <> 0);
CREATE INDEX botwire_past_collections_until ON public.botwire_past_collections USING btree (namespace, until);
CREATE INDEX botwire_past_histories_until ON public.botwire_past_histories USING btree (namespace, until);
CREATE INDEX botwire_past_items_until ON public.botwire_past_items USING btree (namespace, until);
CREATE INDEX botwire_past_keys_until ON public.botwire_past_keys USING btree (namespace, until);
CREATE INDEX botwire_past_metadata_until ON public.botwire_past_metadata USING btree (namespace, until);
CREATE INDEX botwire_past_records_until ON public.botwire_past_records USING btree (namespace, until);
CREATE INDEX botwire_past_words_until ON public.botwire_past_words USING btree (namespace, until);
CREATE INDEX botwire_records_age ON public.botwire_records USING btree (namespace, collection, created_at, id);
CREATE INDEX botwire_records_expiring ON public.botwire_records USING btree (namespace, collection, expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX botwire_records_expiry ON public.botwire_records USING btree (expires_at, namespace) WHERE (expires_at IS NOT NULL);
CREATE INDEX botwire_records_scope ON public.botwire_records USING btree (namespace, collection, scope, created_at);
CREATE INDEX botwire_records_version ON public.botwire_records USING btree (namespace, collection, version);
CREATE INDEX botwire_requests_age ON public.botwire_requests USING btree (created_at, namespace);
