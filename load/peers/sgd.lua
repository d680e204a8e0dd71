#!lua name=load
-- One SGD step on rows that are packed float32, one key each: gradients of equal ids are summed, then every
-- row is read, changed and written once. Arguments: prefix of the keys, dimensions, learning rate, ids (int32
-- each), gradients (float32 each).

local function sum_gradients(ids, gradients, dim, format)
  local distinct, sums = {}, {}
  for position = 0, #ids / 4 - 1 do
    local id = string.sub(ids, position * 4 + 1, position * 4 + 4)
    local gradient = { struct.unpack(format, gradients, position * dim * 4 + 1) }
    local sum = sums[id]
    if sum then
      for column = 1, dim do sum[column] = sum[column] + gradient[column] end
    else
      distinct[#distinct + 1] = id
      sums[id] = gradient
    end
  end
  return distinct, sums
end

local function step(_, arguments)
  local prefix, dim, rate = arguments[1], tonumber(arguments[2]), tonumber(arguments[3])
  local format = '<' .. string.rep('f', dim)
  local ids, sums = sum_gradients(arguments[4], arguments[5], dim, format)
  local keys, changes = {}, {}
  for position = 1, #ids do keys[position] = prefix .. ids[position] end
  local rows = redis.call('MGET', unpack(keys))
  for position = 1, #ids do
    if not rows[position] then return redis.error_reply('an id outside the table') end
    local row, sum = { struct.unpack(format, rows[position]) }, sums[ids[position]]
    for column = 1, dim do row[column] = row[column] - rate * sum[column] end
    changes[2 * position - 1] = keys[position]
    changes[2 * position] = struct.pack(format, unpack(row, 1, dim))
  end
  redis.call('MSET', unpack(changes))
  return #ids
end

redis.register_function('sgd', step)
