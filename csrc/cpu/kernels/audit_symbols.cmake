# Fails the build when an object of an instruction set defines a symbol that another object could be linked
# to: a shared inline function compiled with -mavx2 would then run on a CPU without AVX2. Weak symbols count.
#   cmake -DNM=nm -DISA=avx2 -DOBJECTS="a.o;b.o" -P audit_symbols.cmake
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --defined-only --extern-only --demangle ${object}
                  OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]+" lines "${symbols}")
  foreach(line IN LISTS lines)
    if(NOT line MATCHES "^[0-9a-f]+ [A-Za-z] byhand::cpu::${ISA}::" AND NOT line MATCHES " DW\\.ref\\.")
      message(FATAL_ERROR "${object} exports a symbol outside byhand::cpu::${ISA}: ${line}")
    endif()
  endforeach()
endforeach()
