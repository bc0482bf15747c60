-- One step of a task by sysbench: sysbench --mysql-…=… sysbench.lua --step=STEP --file=FILE run. It prints RESULT and the value.
sysbench.cmdline.options = { step = { "what to do", "right" }, file = { "what to load", "" } }

local block = "abcdefghijklmnopqrstuvwxyz0"
local queries = {
    who = "select concat(current_user(), ' ', ifnull(database(), 'none'))",
    cipher = "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'",
    compressed = "select variable_value from information_schema.session_status where variable_name = 'Compression'",
    ["tls row"] = "select repeat('" .. block .. "', 100000)",
    query = function() return "select md5('" .. block:rep(630000) .. "')" end,
    ["exact query"] = function() return "select length('" .. ("x"):rep(16777197) .. "')" end,
    row = "select repeat('" .. block .. "', 630000)",
    ["exact row"] = "select repeat('x', 16777211)",
    ["three packets"] = "select repeat('" .. block .. "', 1260000)",
    loaded = "select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t",
}

function event()
    local c = sysbench.sql.driver():connect()
    local step = sysbench.opt.step
    if step == "load" then
        c:query("create temporary table t (a int, b varchar(20))")
        c:query("load data local infile '" .. sysbench.opt.file .. "' into table t")
        step = "loaded"
    end
    local query = queries[step]
    if type(query) == "function" then query = query() end
    print("RESULT " .. c:query_row(query))
end
