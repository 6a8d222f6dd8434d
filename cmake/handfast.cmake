# Helpers of the build: compile options, one library per folder, one test per module.

include_guard()

find_program(HANDFAST_CCACHE ccache)
if(HANDFAST_CCACHE)
  # Of a file with a precompiled header ccache can't see what macros and time that header depends on.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
                                  ${HANDFAST_CCACHE})
endif()
find_program(HANDFAST_MOLD mold)
if(HANDFAST_MOLD AND NOT CMAKE_INTERPROCEDURAL_OPTIMIZATION)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual -Wswitch)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 destroys temporaries in co_await expressions twice: no coroutines in this project.
  add_compile_options(-fno-coroutines)
endif()
if(HANDFAST_WERROR)
  add_compile_options(-Werror)
endif()
if(HANDFAST_SANITIZE)
  add_compile_options(-fsanitize=${HANDFAST_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HANDFAST_SANITIZE})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-fstack-protector-strong -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS -fcf-protection)
  add_link_options(-Wl,-z,relro,-z,now)
endif()

# Headers that most files begin with, parsed once for a build: handfast_precompiled(std HEADERS <map>)
# makes a target whose header the others take by handfast_use_precompiled(target std). Off in release,
# the image's build, where each file has to name what it needs. Not with clang, which wants each
# target's flags to be the same.
function(handfast_precompiled name)
  cmake_parse_arguments(ARG "" "" "HEADERS;LIBRARIES" ${ARGN})
  if(NOT HANDFAST_PRECOMPILED)
    return()
  endif()
  set(empty ${CMAKE_BINARY_DIR}/precompiled_${name}.cc)
  file(CONFIGURE OUTPUT ${empty} CONTENT "")
  add_library(handfast_precompiled_${name} OBJECT ${empty})
  target_link_libraries(handfast_precompiled_${name} PRIVATE ${ARG_LIBRARIES})
  target_precompile_headers(handfast_precompiled_${name} PRIVATE ${ARG_HEADERS})
  # With it GCC's preprocessed text names the header, as ccache needs it.
  target_compile_options(handfast_precompiled_${name} PRIVATE -fpch-preprocess)
endfunction()
function(handfast_use_precompiled target name)
  if(TARGET handfast_precompiled_${name})
    target_precompile_headers(${target} REUSE_FROM handfast_precompiled_${name})
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
endfunction()

# handfast_library(proxy tls SOURCES a.cc HEADERS a.h PUBLIC handfast::proxy_net PRIVATE OpenSSL::SSL)
# makes the static library of the folder proxy/tls, known as handfast::proxy_tls.
function(handfast_library part folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;PUBLIC;PRIVATE" ${ARGN})
  set(name handfast_${part}_${folder})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
    handfast_use_precompiled(${name} std)
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARG_PUBLIC})
  endif()
  target_include_directories(${name} ${scope} ${PROJECT_SOURCE_DIR})
  # The header set feeds all_verify_interface_header_sets, which compiles each header alone.
  target_sources(${name} ${scope} FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${ARG_HEADERS})
  set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  add_library(handfast::${part}_${folder} ALIAS ${name})
endfunction()

# For code of tests alone: address sees null and strays too, and these checks of each access double the
# time to compile. What is tested has them all.
function(handfast_test_options target)
  if(HANDFAST_SANITIZE MATCHES "address,undefined")
    target_compile_options(
      ${target} PRIVATE
      -fno-sanitize=null,alignment,object-size,vptr,nonnull-attribute,returns-nonnull-attribute)
  endif()
endfunction()

# handfast_test(proxy_pki_test SOURCES a_test.cc LIBRARIES handfast::proxy_pki LABELS unit THREADS)
# makes one GoogleTest program and registers it with ctest. THREADS: it has threads, or what it tests
# is used by several; the thread sanitizer has nothing to say of the others.
function(handfast_test name)
  cmake_parse_arguments(ARG "THREADS" "TIMEOUT" "SOURCES;LIBRARIES;LABELS;DEFINITIONS" ${ARGN})
  if(HANDFAST_SANITIZE STREQUAL "thread" AND NOT ARG_THREADS)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE ${ARG_DEFINITIONS})
  target_link_libraries(${name} PRIVATE ${ARG_LIBRARIES} GTest::gmock GTest::gtest_main)
  handfast_use_precompiled(${name} test)
  handfast_test_options(${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 240)  # a busy machine under a sanitizer; alone they take seconds
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
