;; AssemblyScript cannot access a second memory, so the accesses are defined here. build.ts merges this file
;; into the kernels, and wasm-opt inlines every function and drops those that a module does not use. The arena
;; becomes the memory of the AssemblyScript sources. The table has 64-bit addresses and is only accessed
;; through these functions. The update source is another 32-bit memory, which the kernels only read: the arena
;; of an HTTP worker, mapped by the writer. The maxima are the largest memories that may be imported: 16 GiB
;; for the table, 4 GiB for the others.
(module
  (import "env" "table" (memory $table i64 1 262144 shared))
  (import "env" "arena" (memory $arena 1 65536 shared))
  (import "env" "updateSource" (memory $updateSource 1 65536 shared))
  (export "memory" (memory $arena))

  (func (export "table.load8") (param i64) (result i32) (i32.load8_u $table (local.get 0)))
  (func (export "table.load16") (param i64) (result i32) (i32.load16_u $table align=1 (local.get 0)))
  (func (export "table.load32") (param i64) (result i32) (i32.load $table align=1 (local.get 0)))
  (func (export "table.load64") (param i64) (result i64) (i64.load $table align=1 (local.get 0)))
  (func (export "table.load128") (param i64) (result v128) (v128.load $table align=1 (local.get 0)))
  (func (export "table.load128.16") (param i64) (result v128)
    (v128.load $table offset=16 align=1 (local.get 0)))
  (func (export "table.load128.32") (param i64) (result v128)
    (v128.load $table offset=32 align=1 (local.get 0)))
  (func (export "table.load128.48") (param i64) (result v128)
    (v128.load $table offset=48 align=1 (local.get 0)))

  (func (export "table.store8") (param i64 i32) (i32.store8 $table (local.get 0) (local.get 1)))
  (func (export "table.store16") (param i64 i32) (i32.store16 $table align=1 (local.get 0) (local.get 1)))
  (func (export "table.store32") (param i64 i32) (i32.store $table align=1 (local.get 0) (local.get 1)))
  (func (export "table.store64") (param i64 i64) (i64.store $table align=1 (local.get 0) (local.get 1)))
  (func (export "table.store128") (param i64 v128) (v128.store $table align=1 (local.get 0) (local.get 1)))
  (func (export "table.store128.16") (param i64 v128)
    (v128.store $table offset=16 align=1 (local.get 0) (local.get 1)))
  (func (export "table.store128.32") (param i64 v128)
    (v128.store $table offset=32 align=1 (local.get 0) (local.get 1)))
  (func (export "table.store128.48") (param i64 v128)
    (v128.store $table offset=48 align=1 (local.get 0) (local.get 1)))

  (func (export "updateSource.load32") (param i32) (result i32) (i32.load $updateSource (local.get 0)))
  (func (export "updateSource.load128") (param i32) (result v128)
    (v128.load $updateSource align=4 (local.get 0)))
  (func (export "updateSource.load128.16") (param i32) (result v128)
    (v128.load $updateSource offset=16 align=4 (local.get 0)))
  (func (export "updateSource.load128.32") (param i32) (result v128)
    (v128.load $updateSource offset=32 align=4 (local.get 0)))
  (func (export "updateSource.load128.48") (param i32) (result v128)
    (v128.load $updateSource offset=48 align=4 (local.get 0)))

  (func (export "table.atomicLoad") (param i64) (result i32) (i32.atomic.load $table (local.get 0)))
  (func (export "table.fence") (atomic.fence)))
