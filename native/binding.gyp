{
  # Built by `node-gyp rebuild --directory native`, loaded by lib/native.ts through node-gyp-build.
  # With CI set in the environment, warnings are errors.
  'variables': {
    'ci%': '<!(echo "${CI:-}")',
  },
  'targets': [
    {
      'target_name': 'dedupfs',
      'sources': [
        'src/module.cc',
        'src/arguments.cc',
        'src/device.cc',
        'src/mount.cc',
        'src/mount_helper.cc',
        'src/helper_process.cc',
        'src/poller.cc',
        'src/lock.cc',
        'src/mapping.cc',
        'src/notify.cc',
        'src/space.cc',
        'src/sparse_file.cc',
        'src/copy.cc',
        'src/huge_pages.cc',
        'src/clock.cc',
        'src/chunking.cc',
        'src/cutter.cc',
        'src/cutter_avx2.cc',
        'src/cutter_avx512.cc',
        'src/cutter_neon.cc',
        'src/zero_scan.cc',
        'src/checked_file.cc',
        'src/checked_vfs.cc',
        'src/page_checksums.cc',
      ],
      # SQLite's headers come from better-sqlite3, whose copy of SQLite the addon is loaded into.
      'include_dirs': [
        '<!(node -p "require(\'path\').dirname(require.resolve(\'better-sqlite3/deps/sqlite3/sqlite3ext.h\'))")',
      ],
      'defines': ['NAPI_VERSION=8', '_GNU_SOURCE', '_FILE_OFFSET_BITS=64'],
      # Node's own common.gypi asks for the standard Node was built with.
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-std=gnu++1y', '-O2'],
      'cflags_cc': [
        '-std=c++20',
        '-O3',
        '-Wall',
        '-Wextra',
        '-Wconversion',
        '-Wshadow',
        '-fvisibility=hidden',
      ],
      'conditions': [
        ['ci!=""', {'cflags_cc': ['-Werror']}],
      ],
    },
  ],
}
